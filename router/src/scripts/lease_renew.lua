-- Prolongs a boot's lease in the table of leases, if it still stands, and answers the whole table.
-- KEYS: nodes. ARGV: boot, node, lease in ms, counter that was last answered.
-- A value is "<counter> <renewed at, ms by this server> <node>".
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = redis.call('HGET', KEYS[1], ARGV[1])
if not own then
  return {now, 'missing', 0, {}}
end
local counter, renewed = string.match(own, '^(%d+) (%d+) ')
if tonumber(counter) < tonumber(ARGV[4]) then
  return {now, 'rewound', 0, {}}
end
if now - tonumber(renewed) > tonumber(ARGV[3]) then
  return {now, 'lapsed', 0, {}}
end
counter = tonumber(counter) + 1
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d %s', counter, now, ARGV[2]))
return {now, 'stands', counter, redis.call('HGETALL', KEYS[1])}
