-- The sign of life of all waiters of a process, and their look at how things stand: it makes up
-- for messages that were lost, and promotes where a holder's lease ended by itself. The process gets the
-- message 'beat', so that it knows that it hears.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each waiter
-- ARGV  1 run id of the server, or '' for no guard  2 address of the waiters  3 how long a waiter
--       lives without a sign (ms), then '<id> <terms>' for each
-- Reply {now, 'stranger'}  the process has to enter first: nothing was done
--       or now, whether the message was heard, 1 or 0, then for each
--       {'waiting', ms until the lock may be free or -1, place in the queue from 0}
--       {'granted', token, ms left of the lease}
--       {'dropped'}  it was counted as dead and must ask again
--       {'failed', error}
-- Cost  PUBSUB, PUBLISH, then TYPE, GET, ZSCORE, ZADD, 2 PEXPIRE, PTTL, ZRANK each
--- @include "clock"
--- @include "holders"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
--- @include "each"
local sequence, guard = KEYS[1], KEYS[2]
local run, address, liveness = ARGV[1], ARGV[2], tonumber(ARGV[3])

local state, grace = guarded(guard, run)
if state == 'stranger' then return { now, state } end
local heard = teller(address)(process_of(ARGV[4]), 'beat')

local function look(lock, queue, deadlines, waiter)
  local id, terms = string.match(waiter, '^(%S+) (.*)$')
  local ttl, kind = read_terms(terms)
  local held = holders_of(lock)
  local token, left = lease_of(held, id)
  if token then return { 'granted', token, left } end
  if not redis.call('ZSCORE', queue, waiter) then return { 'dropped' } end
  -- The half says that this process is not heard: see _hand-off.lua.
  redis.call('ZADD', deadlines, now + liveness + (heard and 0 or 0.5), waiter)
  if state == 'open' and fits(held, kind) then
    token = hand_off(held, queue, deadlines, sequence, address, waiter)
    if token then
      -- All of its ttl at once, which may have been forgotten while it waited.
      guarded(guard, run, ttl)
      return { 'granted', token, ttl }
    end
  end
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
  return { 'waiting', math.max(free_in(held), grace), redis.call('ZRANK', queue, waiter) }
end

local seen = { now, heard and 1 or 0 }
for index = 4, #ARGV do
  local key = 3 * (index - 4) + 3
  seen[index - 1] = each_alone(look, KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[index])
end
return seen
