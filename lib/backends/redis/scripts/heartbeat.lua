-- The sign of life of all waiters of a process, and their look at how things stand: it makes up
-- for messages that were lost, and promotes where a holder's lease ended by itself.
--
-- KEYS  1 sequence, then lock, queue and deadlines for each waiter
-- ARGV  1 channel prefix  2 how long a waiter lives without a sign (ms), then '<id> <ttl>' for each
-- Reply now, then for each
--       {'waiting', ms left of the holder's lease, place in the queue from 0}
--       {'granted', token, ms left of the lease}
--       {'dropped'}  it was counted as dead and must ask again
--       {'failed', error}
-- Cost  GET, ZSCORE, ZADD, 2 PEXPIRE, PTTL, ZRANK each
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
local sequence, channel, liveness = KEYS[1], ARGV[1], tonumber(ARGV[2])

local function look(lock, queue, deadlines, waiter)
  local id = string.match(waiter, '^%S+')
  local held = redis.call('GET', lock)
  if owns(held, id) then
    return { 'granted', token_of(held), redis.call('PTTL', lock) }
  end
  if not redis.call('ZSCORE', queue, waiter) then return { 'dropped' } end
  redis.call('ZADD', deadlines, now + liveness, waiter)
  if not held then
    local next, token = hand_off(lock, queue, deadlines, sequence, channel, waiter)
    if next == waiter then return { 'granted', token, redis.call('PTTL', lock) } end
  end
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
  return { 'waiting', redis.call('PTTL', lock), redis.call('ZRANK', queue, waiter) }
end

local seen = { now }
for index = 3, #ARGV do
  local key = 3 * (index - 3) + 2
  -- What is wrong with one key must not stop the others' sign of life.
  local fine, state = pcall(look, KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[index])
  seen[index - 1] = fine and state or { 'failed', type(state) == 'table' and state.err or state }
end
return seen
