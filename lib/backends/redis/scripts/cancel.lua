-- Withdraws a request, whatever has become of it: leaves the queue, and if it owns the lock, ends
-- the lease and grants the next waiter.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence  5 guard
-- ARGV  1 id  2 ttl (ms) it was asked with  3 address of the waiters
--       4 run id of the server, or '' for no guard
-- Reply 1 it owned the lock, 0 it did not
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local lock, queue, deadlines, sequence, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, ttl, address, run = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local waiter = id .. ' ' .. ttl
redis.call('ZREM', queue, waiter)
redis.call('ZREM', deadlines, waiter)
if not owns(redis.call('GET', lock), id) then return 0 end
redis.call('DEL', lock)
if guarded(guard, run) == 'open' then
  hand_off(lock, queue, deadlines, sequence, address, nil)
end
return 1
