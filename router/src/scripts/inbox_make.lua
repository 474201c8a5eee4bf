-- Makes an inbox: writers never do, so that a dead boot's cannot grow. Answers the id after which to read.
-- KEYS: inbox. ARGV: time to live in ms, an entry that readers skip.
local id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return id
