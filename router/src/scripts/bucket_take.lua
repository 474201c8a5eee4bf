-- Takes up to `want` tokens from a bucket that fills by itself. Answers {granted, ms until one more is there}.
-- KEYS: bucket. ARGV: tokens per second, size of the bucket, want.
-- The value is "<tokens> <as of, in microseconds by this server>"; a bucket that would be full is not kept.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local rate, size, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = size
local old = redis.call('GET', KEYS[1])
if old then
  local had, as_of = string.match(old, '^(%S+) (%S+)$')
  tokens = math.min(size, tonumber(had) + math.max(0, now - tonumber(as_of)) * rate / 1000000)
end
local granted = math.max(0, math.min(want, math.floor(tokens)))
tokens = tokens - granted
local fill_ms = math.ceil((size - tokens) * 1000 / rate)
if fill_ms > 0 then
  redis.call('SET', KEYS[1], string.format('%.6f %d', tokens, now), 'PX', fill_ms)
else
  redis.call('DEL', KEYS[1])
end
local wait_ms = 0
-- A want of 0 takes nothing and asks whether there is one.
if granted < want or (want == 0 and tokens < 1) then
  wait_ms = math.max(1, math.ceil((1 - tokens) * 1000 / rate))
end
return {granted, wait_ms}
