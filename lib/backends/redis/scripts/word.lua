-- What a process was told of its leases lately.
--
-- KEYS  1 told
-- ARGV  1 process
-- Reply the messages
-- Cost  TIME, ZRANGEBYSCORE
--- @include "clock"
local messages = {}
for _, message in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')) do
  if string.match(message, '^%S+ ([^:]*):') == ARGV[1] then messages[#messages + 1] = message end
end
return messages
