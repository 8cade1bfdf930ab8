-- Makes a lease that holds a lock alone one that reads, under the same token, and tells the readers who
-- are first of who waits.
--
-- KEYS  1 guard  2 lock  3 queue  4 deadlines
-- ARGV  1 run id of the node  2 channel prefix  3 id
-- Reply 'stranger'  the process has to enter first: nothing was done
--       1 it reads now, or did already
--       0 it was not the owner's (any more)
--       2 nor is it known to be anybody's, as the node forgot what it had voted for
--- @include "clock"
--- @include "held"
--- @include "guard"
--- @include "queue"
local guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run, channel, id = ARGV[1], ARGV[2], ARGV[3]

local state = guarded(guard, run)
if state == 'stranger' then return state end
local held = held_of(lock)
local token, left = lease_of(held, id)
if not token then return state == 'grace' and fits(held, 's') and 2 or 0 end
if held.alone then
  free(held)
  -- In its last millisecond as well it is to expire.
  let_in(held, id, 's', token, math.max(left, 1))
  if state == 'open' then tell_first(held, queue, deadlines, channel, nil, true) end
end
return 1
