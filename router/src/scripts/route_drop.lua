-- Removes a session from a user's routes, if the route is one of this node's, and answers the records that are left.
-- KEYS: route. ARGV: session, the node's boots (16 bytes each). Records as in route_add.
local old = redis.call('GET', KEYS[1]) or ''
local kept = {}
for i = 1, #old, 40 do
  local record = string.sub(old, i, i + 39)
  local is_ours = false
  if string.sub(record, 1, 16) == ARGV[1] then
    for j = 1, #ARGV[2], 16 do
      is_ours = is_ours or string.sub(ARGV[2], j, j + 15) == string.sub(record, 17, 32)
    end
  end
  if not is_ours then
    kept[#kept + 1] = record
  end
end
local rest = table.concat(kept)
if rest == '' then
  redis.call('DEL', KEYS[1])
elseif #rest ~= #old then
  redis.call('SET', KEYS[1], rest, 'KEEPTTL')
end
return rest
