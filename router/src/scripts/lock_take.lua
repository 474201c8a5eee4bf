-- Takes a lock that nobody holds. Answers the value that the last holder left, or nil if it is held.
-- KEYS: lock (a hash: holder, until in ms by this server, value). ARGV: holder, time to hold in ms, time to keep the value in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('HMGET', KEYS[1], 'holder', 'until', 'value')
if old[1] and old[1] ~= ARGV[1] and tonumber(old[2]) > now then
  return false
end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', string.format('%d', now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return old[3] or ''
