-- Prolongs an inbox, and answers the highest id it ever had; nil if it is gone.
-- KEYS: inbox. ARGV: time to live in ms.
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  return false
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    return info[i + 1]
  end
end
return false
