-- Tries every command that the other scripts use, on keys of its own that are gone at the end.
--
-- KEYS  1 a string  2 a sorted set  3 a hash
-- ARGV  1 how messages are delivered: 'ordinary' or 'sharded'  2 a channel
-- Reply the error of each command that failed
local errors = {}
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then errors[#errors + 1] = command .. ': ' .. reply.err end
end
local string_key, set_key, hash_key = KEYS[1], KEYS[2], KEYS[3]
local delivery, channel = ARGV[1], ARGV[2]
try('TIME')
try('SET', string_key, '1', 'PX', 1000)
try('SET', string_key, '1', 'GET')
try('EXISTS', string_key)
try('TYPE', string_key)
try('GET', string_key)
try('PEXPIRE', string_key, 1000)
try('PTTL', string_key)
try('ZADD', set_key, 1, 'member')
try('ZSCORE', set_key, 'member')
try('ZRANK', set_key, 'member')
try('ZCOUNT', set_key, 0, 1)
try('ZRANGE', set_key, 0, 0)
try('ZRANGEBYSCORE', set_key, 0, 1)
try('ZREM', set_key, 'member')
try('HSET', hash_key, 'field', '1')
try('HGET', hash_key, 'field')
try('HGETALL', hash_key)
try('HLEN', hash_key)
try('HDEL', hash_key, 'field')
try('DEL', string_key)
try('SCAN', '0', 'COUNT', '1')
try(delivery == 'sharded' and 'SPUBLISH' or 'PUBLISH', channel, 'check')
try('PUBSUB', delivery == 'sharded' and 'SHARDNUMSUB' or 'NUMSUB', channel)
return errors
