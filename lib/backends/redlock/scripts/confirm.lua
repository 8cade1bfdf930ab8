-- Writes back the token that the nodes agreed on, where the vote for it still stands.
--
-- KEYS  1 sequence  2 lock
-- ARGV  1 id  2 's' for one that reads, else ''  3 token
-- Reply 1 done, 0 the vote is gone; or, of a reader, another one beside it may have that token
--- @include "clock"
--- @include "held"
--- @include "raise"
local sequence, lock, id, kind, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local held = held_of(lock)
local voted = token_at(held, id)
if not voted then return 0 end
if voted == token then return 1 end
-- The tokens of all keys come from one sequence: what is behind it may have been given to anybody.
if kind ~= '' and tonumber(redis.call('GET', sequence) or 0) >= token then return 0 end
if held.alone then
  redis.call('SET', lock, id .. ' ' .. ARGV[3], 'KEEPTTL')
else
  local _, left = lease_of(held, id)
  redis.call('HSET', lock, id, write_lease(token, now + left))
end
raise(sequence, token)
return 1
