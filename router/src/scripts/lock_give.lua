-- Gives a lock back, if it is still its holder's. The value stays for the next one.
-- KEYS: lock, as in lock_take. ARGV: holder.
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'until', '0')
end
return 0
