-- The sign of life of all waiters of a process at one node, and their look at how things stand.
--
-- KEYS  1 guard, then lock, queue and deadlines for each waiter
-- ARGV  1 channel prefix  2 how long a waiter lives without a sign (ms)  3 run id of the node, then
--       the id of each
-- Reply {'stranger'}  the process has to enter first: nothing was done
--       or for each
--       {'waiting', ms until the lock may be free, or -1}
--       {'free'}  it may ask for the lock now, or has the vote of this node
--       {'dropped'}  it was counted as dead, or this node forgot it: it must ask again
--       {'failed', error}
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "queue"
local guard, channel, liveness, run = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local state, grace = guarded(guard, run)
if state == 'stranger' then return { state } end

local function look(lock, queue, deadlines, id)
  local held = redis.call('GET', lock)
  if owns(held, id) then return { 'free' } end
  if not redis.call('ZSCORE', queue, id) then return { 'dropped' } end
  give_sign(queue, deadlines, id, liveness)
  if not held and state == 'open' and tell_first(queue, deadlines, channel, id) == id then
    return { 'free' }
  end
  return { 'waiting', math.max(redis.call('PTTL', lock), grace > 0 and grace or -1) }
end

local seen = {}
for index = 4, #ARGV do
  local key = 3 * (index - 4) + 2
  -- What is wrong with one key must not stop the others' sign of life.
  local fine, answer = pcall(look, KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[index])
  seen[index - 3] = fine and answer or { 'failed', type(answer) == 'table' and answer.err or answer }
end
return seen
