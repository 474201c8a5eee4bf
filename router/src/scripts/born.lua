-- When this Redis began without what it knew before, in ms by its own clock.
-- KEYS: born. ARGV: '1' if a loss was seen just now. Several nodes see the same loss, within seconds of each other.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local born = tonumber(redis.call('GET', KEYS[1]) or 0)
if born == 0 or (ARGV[1] == '1' and now - born > 10000) then
  born = now
  redis.call('SET', KEYS[1], string.format('%d', born))
end
return {now, born}
