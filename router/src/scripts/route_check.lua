-- Sees to it that a session has its route. Answers 1: it had, 2: it was put back, 3: it is missing, and others fill the limit.
-- KEYS: route. ARGV: record, limit, time to live in ms, boots seen to die. Records as in route_add.
local record, limit, dead = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local session, boot = string.sub(record, 1, 16), string.sub(record, 17, 32)

local old = redis.call('GET', KEYS[1]) or ''
local kept = {}
for i = 1, #old, 40 do
  local other = string.sub(old, i, i + 39)
  local other_boot = string.sub(other, 17, 32)
  if string.sub(other, 1, 16) ~= session then
    local is_dead = false
    for j = 1, #dead, 16 do
      is_dead = is_dead or string.sub(dead, j, j + 15) == other_boot
    end
    if not is_dead then
      kept[#kept + 1] = other
    end
  elseif other_boot == boot then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return 1
  end
end
if #kept >= limit then
  return 3
end
kept[#kept + 1] = record
redis.call('SET', KEYS[1], table.concat(kept), 'PX', ARGV[3])
return 2
