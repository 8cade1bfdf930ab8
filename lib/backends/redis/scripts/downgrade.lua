-- Makes a lease that holds a lock alone one that reads, under the same token, and grants the readers
-- at the head of the queue.
--
-- KEYS  1 sequence  2 guard  3 lock  4 queue  5 deadlines
-- ARGV  1 run id of the server, or '' for no guard  2 address of the waiters  3 id
-- Reply 1 it reads now, or did already, 0 it was not the owner's (any more), 2 nor is it known to be
--       anybody's, as the server forgot what it had granted, and granted nothing since
--- @include "clock"
--- @include "holders"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local sequence, guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local run, address, id = ARGV[1], ARGV[2], ARGV[3]

local open = guarded(guard, run) == 'open'
local held = holders_of(lock)
local token, left = lease_of(held, id)
if not token then return open and 0 or 2 end
if held.alone then
  free(held)
  -- In its last millisecond as well it is to expire.
  let_in(held, id, 's', token, math.max(left, 1))
  if open then hand_off(held, queue, deadlines, sequence, address, nil) end
end
return 1
