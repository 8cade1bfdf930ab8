-- Writes back the token that the nodes agreed on, where the vote for it still stands.
--
-- KEYS  1 lock  2 sequence
-- ARGV  1 id  2 token
-- Reply 1 done, 0 the vote is gone
--- @include "owner"
--- @include "raise"
local lock, sequence, id, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if not owns(redis.call('GET', lock), id) then return 0 end
redis.call('SET', lock, id .. ' ' .. token, 'KEEPTTL')
raise(sequence, tonumber(token))
return 1
