-- Prolongs a lock that is still its holder's, and writes the value down. Answers 1, or 0 if it is someone else's or gone.
-- KEYS: lock, as in lock_take. ARGV: holder, time to hold in ms, time to keep the value in ms, value.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + tonumber(ARGV[2])), 'value', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
