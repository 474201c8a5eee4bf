-- Adds a session to a user's routes, and evicts the oldest above the limit.
-- KEYS: route. ARGV: record, limit, '1' if it may evict, time to live in ms, boots seen to die, boots that do not count.
-- A record is 40 bytes: session 16, boot 16, connected at in ms 8 (big-endian). Boots are 16 bytes each, one after another.
-- Answers {1, the other records, the evicted records}, or {0, the records as they are, ''} if it may not evict but would have to.
local record, limit, dead, silent = ARGV[1], tonumber(ARGV[2]), ARGV[5], ARGV[6]
local session = string.sub(record, 1, 16)

local function holds(boots, boot)
  for i = 1, #boots, 16 do
    if string.sub(boots, i, i + 15) == boot then
      return true
    end
  end
  return false
end

local old = redis.call('GET', KEYS[1]) or ''
local kept, counted = {}, {record}
for i = 1, #old, 40 do
  local other = string.sub(old, i, i + 39)
  local boot = string.sub(other, 17, 32)
  if string.sub(other, 1, 16) ~= session and not holds(dead, boot) then
    kept[#kept + 1] = other
    if not holds(silent, boot) then
      counted[#counted + 1] = other
    end
  end
end

if #counted > limit and ARGV[3] ~= '1' then
  return {0, table.concat(kept), ''}
end

table.sort(counted, function(a, b)
  local a_at, b_at = struct.unpack('>i8', a, 33), struct.unpack('>i8', b, 33)
  if a_at ~= b_at then
    return a_at < b_at
  end
  -- The one being added is the newest of those that came in the same millisecond.
  if a == record or b == record then
    return b == record and a ~= record
  end
  return a < b
end)
local evicted, is_evicted = {}, {}
for i = 1, #counted - limit do
  evicted[i] = counted[i]
  is_evicted[counted[i]] = true
end
local others = {}
for _, other in ipairs(kept) do
  if not is_evicted[other] then
    others[#others + 1] = other
  end
end
local rest = table.concat(others)
local all = rest
if not is_evicted[record] then
  all = rest .. record
end
if all == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], all, 'PX', ARGV[4])
end
return {1, rest, table.concat(evicted)}
