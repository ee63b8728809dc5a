-- One exchange of a worker with the store: takes what some records spent, gives back what all workers spent on them.
--
-- KEYS[1]                 the epoch, see clock.lua
-- KEYS[2]                 the number of what was told last at this place of this worker's exchanges
-- KEYS[3 .. 2+L]          L light records: nothing but requests is news
-- KEYS[3+L ..]            F full records, three keys each: the record, its originals, its subjects
-- ARGV[1]                 keep_originals, keep_subjects, age (seconds: d d d), L, F (I4 I4)
-- ARGV[2]                 the number of this telling; one whose answer was lost is told again and counts once
-- ARGV[3]                 L times: seconds of requests (d)
-- ARGV[4 .. 3+F]          the news of one full record, see below
--
-- A record is a hash: "r" the TAT of requests, "t:NAME" other TATs, "b" banned until, "c" cooling until, "l" the cooling's
-- level, "n" when anything but "r" last changed, "f" when something was told late, "x" until when all but "r" is needed.
-- Originals and subjects are sorted sets: identity by the time it was charged. Times are seconds of the shard's clock.
local keep_originals, keep_subjects, age, lights, fulls = struct.unpack('<dddI4I4', ARGV[1])
-- Told later than this after it was charged, an entry lies before what other workers have read already.
local LATE = 1.0
local MOST = 10000
-- Whoever could not be told for a day owes nothing of it any more.
local DAY = 86400

local again = number(redis.call('GET', KEYS[2])) >= number(ARGV[2])
if not again then redis.call('SET', KEYS[2], ARGV[2], 'EX', DAY) end

local function spent(tat, seconds)
  if again or seconds <= 0 then return tat end
  return math.max(tat, now - age) + seconds
end

local out = { struct.pack('<dd', now, epoch) }
local at = 1
for i = 1, lights do
  local seconds
  seconds, at = struct.unpack('<d', ARGV[3], at)
  local key = KEYS[2 + i]
  local held = redis.call('HMGET', key, 'r', 'n', 'x')
  local known = number(held[1])
  local tat = spent(known, seconds)
  if tat ~= known then
    redis.call('HSET', key, 'r', stamp(tat))
    expire(key, math.max(tat, number(held[3])))
  end
  out[#out + 1] = struct.pack('<dd', tat, number(held[2]))
end

-- "how" is NX: what was charged first counts. After this server's clock was set forward, GT: what is told anew is right.
local function add_distinct(key, arg, pos, count, keep, how)
  local added, late = false, false
  for _ = 1, count do
    local name, charged
    name, charged, pos = struct.unpack('<c8d', arg, pos)
    if redis.call('ZADD', key, how, 'CH', stamp(charged), name) == 1 then
      added = true
      late = late or now - charged > LATE
    end
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', stamp(now - keep))
  if count > 0 then expire(key, now + keep) end
  return added, late, pos
end

local function list_distinct(key, from, parts)
  local found = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST)
  for i = 1, #found, 2 do
    parts[#parts + 1] = struct.pack('<c8d', found[i], tonumber(found[i + 1]))
  end
  return #found / 2
end

for i = 1, fulls do
  local base = 2 + lights + 3 * (i - 1)
  local key, originals, subjects = KEYS[base + 1], KEYS[base + 2], KEYS[base + 3]
  local arg = ARGV[3 + i]
  local since, floor, seconds, banned, cooled, level, rates, n_originals, n_subjects, pos =
    struct.unpack('<dddddI1I1I2I2', arg)
  local flat, held = redis.call('HGETALL', key), {}
  for j = 1, #flat, 2 do held[flat[j]] = flat[j + 1] end
  local news, changed = {}, false

  local tat = spent(math.max(number(held.r), floor), seconds)
  if tat ~= number(held.r) then news.r = tat end
  for _ = 1, rates do
    local size, name, low, more
    size, pos = struct.unpack('<I1', arg, pos)
    name, low, more, pos = struct.unpack('<c' .. size .. 'dd', arg, pos)
    local known = number(held['t:' .. name])
    local moved = spent(math.max(known, low), more)
    if moved > known then
      news['t:' .. name] = moved
      changed = true
    end
  end
  -- A ban is over when it is over; nought is no news, and less than nought takes it back.
  if banned < 0 then
    news.b, changed = 0, true
  elseif banned > number(held.b) then
    news.b, changed = banned, true
  end
  if cooled < 0 then
    news.c, news.l, changed = 0, 0, true
  elseif cooled > number(held.c) then
    news.c, news.l, changed = cooled, level, true
  end
  local how = floor > 0 and 'GT' or 'NX'
  local added, late
  added, late, pos = add_distinct(originals, arg, pos, n_originals, keep_originals, how)
  local added2, late2
  added2, late2, pos = add_distinct(subjects, arg, pos, n_subjects, keep_subjects, how)
  changed = changed or added or added2
  if late or late2 then news.f = now end
  if changed then news.n = now end

  local until_when = number(held.x)
  for name, value in pairs(news) do
    held[name] = stamp(value)
    redis.call('HSET', key, name, held[name])
    if name ~= 'r' and name ~= 'l' then until_when = math.max(until_when, value) end
  end
  if changed then
    until_when = math.max(until_when, now + math.max(keep_originals, keep_subjects))
    redis.call('HSET', key, 'x', stamp(until_when))
  end
  if next(news) then expire(key, math.max(until_when, tat)) end

  local names, parts = 0, {}
  for name, value in pairs(held) do
    if string.sub(name, 1, 2) == 't:' then
      names = names + 1
      local short = string.sub(name, 3)
      parts[#parts + 1] = struct.pack('<I1c' .. #short .. 'd', #short, short, tonumber(value))
    end
  end
  local from = '-inf'
  if since > 0 and since >= number(held.f) and since <= now then from = '(' .. stamp(since - LATE) end
  local listed_originals = list_distinct(originals, from, parts)
  local listed_subjects = list_distinct(subjects, from, parts)
  out[#out + 1] = struct.pack('<ddddI1I1I2I2', tat, number(held.n), number(held.b), number(held.c),
    number(held.l), names, listed_originals, listed_subjects)
  out[#out + 1] = table.concat(parts)
end
return table.concat(out)
