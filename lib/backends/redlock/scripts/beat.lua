-- The sign of life of all waiters of a process at one node, and their look at how things stand. The
-- process gets the message 'beat', so that it knows that it hears.
--
-- KEYS  1 guard, then lock, queue and deadlines for each waiter
-- ARGV  1 run id of the node  2 channel prefix  3 how long a waiter lives without a sign (ms), then
--       each waiter: its id, with ' s' if it is to read
-- Reply {'stranger'}  the process has to enter first: nothing was done
--       or whether the message was heard, 1 or 0, then for each
--       {'waiting', ms until the lock may be free, or -1}
--       {'free'}  it may ask for the lock now, or has the vote of this node
--       {'dropped'}  it was counted as dead, or this node forgot it: it must ask again
--       {'failed', error}
--- @include "clock"
--- @include "held"
--- @include "guard"
--- @include "queue"
--- @include "each"
local guard, run, channel, liveness = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local state, grace = guarded(guard, run)
if state == 'stranger' then return { state } end
local heard = teller('ordinary ' .. channel)(process_of(ARGV[4]), 'beat')

local function look(lock, queue, deadlines, waiter)
  local id, kind = string.match(waiter, '^(%S+) ?(%w*)$')
  local held = held_of(lock)
  if lease_of(held, id) then return { 'free' } end
  if not redis.call('ZSCORE', queue, waiter) then return { 'dropped' } end
  give_sign(queue, deadlines, waiter, liveness)
  if state == 'open' and fits(held, kind) then
    local first, first_reader = tell_first(held, queue, deadlines, channel, waiter, false)
    if id == (kind == '' and first or first_reader) then return { 'free' } end
  end
  return { 'waiting', math.max(free_in(held), grace) }
end

local seen = { heard and 1 or 0 }
for index = 4, #ARGV do
  local key = 3 * (index - 4) + 2
  seen[index - 2] = each_alone(look, KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[index])
end
return seen
