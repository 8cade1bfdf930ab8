-- Ends a lease and grants the next waiter in the same step.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence  5 guard
-- ARGV  1 id  2 address of the waiters  3 run id of the server, or '' for no guard
-- Reply 1 released, 0 it was not the owner's (any more): nothing was done, 2 nor is it known to be
--       anybody's, as the server forgot what it had granted, and granted nothing since
-- Cost  TIME, GET, DEL, EXISTS when nobody waits
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local lock, queue, deadlines, sequence, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, address, run = ARGV[1], ARGV[2], ARGV[3]

if not owns(redis.call('GET', lock), id) then
  return guarded(guard, run) == 'open' and 0 or 2
end
redis.call('DEL', lock)
if redis.call('EXISTS', queue) == 1 and guarded(guard, run) == 'open' then
  hand_off(lock, queue, deadlines, sequence, address, nil)
end
return 1
