-- The shard's clock, which never goes back: stands before exchange.lua and spend.lua. KEYS[1] is the epoch of the shard.
--
-- An administrator, NTP or a failover may set a server's clock back by an hour, and whoever owed ten seconds then would owe an
-- hour and ten seconds. So the shard remembers how late it was (beside its epoch, a new one of which tells the workers that the
-- store has lost what it knew), and stays ahead of the server by as much as that was set back. No two calls have one time.
-- It counts from 2023: a double has 15 digits, and of 1800 requests a second's millionth each is more than a limit's hair.
local MONTH = 2764800
local YEAR_2023 = 1700000000

local function stamp(seconds) return string.format('%.9f', seconds) end
local function number(text) return tonumber(text or 0) or 0 end

local epoch, now
do
  local clock = redis.call('TIME')
  local seconds, last, ahead = number(clock[1]), 0, nil
  local kept = redis.call('GET', KEYS[1])
  if kept then
    epoch, ahead, last = struct.unpack('<ddd', kept)
  else
    ahead = seconds > YEAR_2023 and -YEAR_2023 or 0
  end
  now = seconds + ahead + number(clock[2]) / 1000000
  if now <= last then
    ahead = ahead + last + 0.000001 - now
    now = last + 0.000001
  end
  epoch = epoch or now
  redis.call('SET', KEYS[1], struct.pack('<ddd', epoch, ahead, now), 'EX', MONTH)
end
-- How long a key lives is told in seconds from now on, whatever the server calls the time.
local function expire(key, at) redis.call('PEXPIRE', key, math.ceil((math.max(at - now, 0) + 1) * 1000)) end

