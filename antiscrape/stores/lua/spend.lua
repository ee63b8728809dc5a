-- Charges requests to the budgets, each at all its levels or at none; what core/spending.py does, in one place for all workers.
--
-- KEYS[1]  the epoch, see clock.lua
-- KEYS     then three for each level of each charge: the record, its originals, its subjects
-- ARGV[i]  one charge: levels I1, then for each level its factor (d); requests, bytes: count I1, then for each limit
--          its name (I1, characters), interval, window, amount (d d d); subjects, originals: count I1, then, unless
--          nought, identity (c8), keep (d), and for each limit amount and window (d d)
--
-- Answers for each charge: which budget had no room (I1: 0 none, 1 requests, 2 bytes, 3 originals, 4 subjects), the place
-- of its limit (I1), the level (I1), seconds to wait (d), then the TAT "r" of each level (d); before all that the clock (d).
local MOST = 10000

local function read_rates(arg, pos)
  local count, rates = nil, {}
  count, pos = struct.unpack('<I1', arg, pos)
  for i = 1, count do
    local size, name, interval, window, amount
    size, pos = struct.unpack('<I1', arg, pos)
    name, interval, window, amount, pos = struct.unpack('<c' .. size .. 'ddd', arg, pos)
    rates[i] = { name = name, interval = interval, window = window, amount = amount }
  end
  return rates, pos
end

local function read_distinct(arg, pos)
  local count, asked = nil, { limits = {} }
  count, pos = struct.unpack('<I1', arg, pos)
  if count == 0 then return nil, pos end
  asked.name, asked.keep, pos = struct.unpack('<c8d', arg, pos)
  for i = 1, count do
    local amount, window
    amount, window, pos = struct.unpack('<dd', arg, pos)
    asked.limits[i] = { amount = amount, window = window }
  end
  return asked, pos
end

-- Returns the TATs that the charge comes to, or nil, the limit's place, the level and the wait.
local function try_rates(records, factors, rates)
  local moved = {}
  for level, key in ipairs(records) do
    moved[level] = {}
    local worst, place = 0, 0
    for i, rate in ipairs(rates) do
      local tat = math.max(number(redis.call('HGET', key, rate.name)), now) + rate.interval / factors[level]
      local wait = tat - now - rate.window
      if rate.amount == 0 then wait = rate.window end
      if wait > worst then worst, place = wait, i end
      moved[level][rate.name] = tat
    end
    if place > 0 then return nil, place, level, worst end
  end
  return moved
end

local function full_rates(records, factors, rates)
  for level, key in ipairs(records) do
    for i, rate in ipairs(rates) do
      local ahead = number(redis.call('HGET', key, rate.name)) - now
      if rate.amount == 0 or ahead >= rate.window then
        return i, level, math.max(ahead - rate.window, rate.interval / factors[level])
      end
    end
  end
end

-- A record lives until nothing in it counts any more, whatever was written to it last.
local function keep(record)
  local held = redis.call('HMGET', record, 'r', 'x')
  expire(record, math.max(number(held[1]), number(held[2])))
end

-- Returns nothing where there is room and the identity was charged at every level that has not had it.
local function spend_distinct(sets, records, factors, asked)
  local fresh = {}
  for level, key in ipairs(sets) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', stamp(now - asked.keep))
    local known = redis.call('ZSCORE', key, asked.name)
    if known and level == 1 then return end
    if not known then
      fresh[#fresh + 1] = level
      -- Who waits for a shorter one only waits again.
      local longest, place = 0, nil
      for i, limit in ipairs(asked.limits) do
        local most = math.min(math.floor(limit.amount * factors[level]), MOST)
        local inside = redis.call('ZCOUNT', key, '(' .. stamp(now - limit.window), '+inf')
        if inside >= most then
          local wait = limit.window
          if most > 0 then
            local oldest = redis.call('ZREVRANGE', key, most - 1, most - 1, 'WITHSCORES')
            wait = tonumber(oldest[2]) + limit.window - now
          end
          if wait > longest then longest, place = wait, i end
        end
      end
      if place then return place, level, longest end
    end
  end
  for _, level in ipairs(fresh) do
    redis.call('ZADD', sets[level], stamp(now), asked.name)
    expire(sets[level], now + asked.keep)
    local held = redis.call('HGET', records[level], 'x')
    local x = math.max(number(held), now + asked.keep)
    redis.call('HSET', records[level], 'n', stamp(now), 'x', stamp(x))
    keep(records[level])
  end
end

local function write_rates(records, moved)
  for level, key in ipairs(records) do
    local x = number(redis.call('HGET', key, 'x'))
    for name, tat in pairs(moved[level]) do
      redis.call('HSET', key, name, stamp(tat))
      if name ~= 'r' then
        x = math.max(x, tat)
        redis.call('HSET', key, 'x', stamp(x))
      end
    end
    keep(key)
  end
end

local out = { struct.pack('<d', now) }
local first = 2
for _, arg in ipairs(ARGV) do
  local levels, pos = struct.unpack('<I1', arg)
  local factors, records, originals, subjects = {}, {}, {}, {}
  for level = 1, levels do
    factors[level], pos = struct.unpack('<d', arg, pos)
    records[level], originals[level], subjects[level] = KEYS[first], KEYS[first + 1], KEYS[first + 2]
    first = first + 3
  end
  local requests, bytes, people, pictures
  requests, pos = read_rates(arg, pos)
  bytes, pos = read_rates(arg, pos)
  people, pos = read_distinct(arg, pos)
  pictures, pos = read_distinct(arg, pos)

  local budget, place, level, wait = 0, 0, 1, 0
  local moved, p, l, w = try_rates(records, factors, requests)
  if not moved then
    budget, place, level, wait = 1, p, l, w
  else
    write_rates(records, moved)
    if people then
      p, l, w = spend_distinct(subjects, records, factors, people)
      if p then budget, place, level, wait = 4, p, l, w end
    end
    if budget == 0 and #bytes > 0 then
      p, l, w = full_rates(records, factors, bytes)
      if p then budget, place, level, wait = 2, p, l, w end
    end
    if budget == 0 and pictures then
      p, l, w = spend_distinct(originals, records, factors, pictures)
      if p then budget, place, level, wait = 3, p, l, w end
    end
  end
  out[#out + 1] = struct.pack('<I1I1I1d', budget, place, level, wait)
  for i = 1, levels do
    out[#out + 1] = struct.pack('<d', number(redis.call('HGET', records[i], 'r')))
  end
end
return table.concat(out)
