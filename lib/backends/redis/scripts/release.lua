-- Ends a lease and grants the next waiter in the same step.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence
-- ARGV  1 id  2 channel prefix
-- Reply 1 released, 0 it was not the owner's (any more): nothing was done
-- Cost  TIME, GET, DEL, EXISTS when nobody waits
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
local lock, queue, deadlines, sequence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, channel = ARGV[1], ARGV[2]

if not owns(redis.call('GET', lock), id) then return 0 end
redis.call('DEL', lock)
if redis.call('EXISTS', queue) == 1 then
  hand_off(lock, queue, deadlines, sequence, channel, nil)
end
return 1
