-- Withdraws a request, whatever has become of it: leaves the queue, and if it owns the lock, ends
-- the lease. Grants those who were held up by it.
--
-- KEYS  1 sequence  2 guard  3 lock  4 queue  5 deadlines
-- ARGV  1 run id of the server, or '' for no guard  2 address of the waiters
--       3 id  4 terms it was asked with
-- Reply 1 it owned the lock, 0 it did not
--- @include "clock"
--- @include "holders"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local sequence, guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local run, address, id, terms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local waiter = id .. ' ' .. terms
local waited = redis.call('ZREM', queue, waiter) == 1
redis.call('ZREM', deadlines, waiter)
local held = holders_of(lock)
local owned, left = lease_of(held, id)
if owned then end_lease(held, id, left) end
if (owned or waited) and not held.alone and guarded(guard, run) == 'open' then
  hand_off(held, queue, deadlines, sequence, address, nil)
end
return owned and 1 or 0
