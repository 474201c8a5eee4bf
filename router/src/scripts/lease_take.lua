-- Gives a boot a lease, and takes that of the boot it follows. Answers as lease_renew does.
-- KEYS: nodes. ARGV: boot, node, the boot it follows or '', counter to begin with.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '' then
  redis.call('HDEL', KEYS[1], ARGV[3])
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d %s', tonumber(ARGV[4]), now, ARGV[2]))
return {now, 'stands', tonumber(ARGV[4]), redis.call('HGETALL', KEYS[1])}
