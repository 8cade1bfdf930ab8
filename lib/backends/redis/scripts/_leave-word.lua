-- What holders are told is also left for them, as a connection that only listens may have died without a
-- word: who finds that out reads what was said meanwhile, in word.lua. `told` is a sorted set of
-- messages, each with the server time (ms) up to which it may be of use. It expires by itself.

-- So long at least, in milliseconds: in that time a holder finds out that it did not hear. One whose
-- lease lives longer may renew it later.
local WORD = 60000

local function leave_word(told, message, left)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', told, '-inf', now)) do
    redis.call('ZREM', told, old)
  end
  local life = math.max(WORD, left)
  local stays = math.max(life, redis.call('PTTL', told))
  -- Before as well, as it needs no memory: after it Redis grants what is needed.
  redis.call('PEXPIRE', told, stays)
  redis.call('ZADD', told, now + life, message)
  redis.call('PEXPIRE', told, stays)
end
