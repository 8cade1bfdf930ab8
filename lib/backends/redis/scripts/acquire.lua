-- Asks for a lock. Idempotent by id: asked again it answers the same grant, or the same place.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence  5 guard
-- ARGV  1 id  2 ttl (ms)  3 server time (ms) after which nobody wants this any more, or 0
--       4 whether to queue: 1 or 0  5 address of the waiters  6 how long a waiter lives without a sign (ms)
--       7 run id of the server, or '' for no guard
-- Reply {'granted', now, token, the longest ttl that a live lease may have, as far as it is known}
--       {'waiting', now, ms until the lock may be free, place in the queue from 0}
--       {'busy', now}
--       {'late', now}  too late: nothing was done
--       {'stranger', now}  the process has to enter first: nothing was done
--       {'grace', now, ms left of it}  whether somebody holds the lock is not known: nothing was done
-- Cost  TIME, EXISTS, SET (sequence), SET NX when nobody holds the lock and nobody waits; the
--       sequence moves, harmlessly, also when somebody holds it and nobody waits
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local lock, queue, deadlines, sequence, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, ttl, not_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local queues, address, liveness, run = ARGV[4] == '1', ARGV[5], tonumber(ARGV[6]), ARGV[7]

if not_after > 0 and now > not_after then return { 'late', now } end
local state, grace, longest = guarded(guard, run, tonumber(ttl))
if state == 'stranger' then return { state, now } end

local function grant()
  local token = mint(sequence)
  if redis.call('SET', lock, id .. ' ' .. string.format('%.0f', token), 'NX', 'PX', ttl) then
    return { 'granted', now, token, longest }
  end
end

if state == 'open' and redis.call('EXISTS', queue) == 0 then
  local granted = grant()
  if granted then return granted end
end

local held = redis.call('GET', lock)
if owns(held, id) then
  -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
  if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
  return { 'granted', now, token_of(held), longest }
end

local waiter = id .. ' ' .. ttl
if not held and state == 'open' then
  -- The holder's lease has ended by itself: those who wait come first.
  local next, token = hand_off(lock, queue, deadlines, sequence, address, waiter)
  if next == waiter then return { 'granted', now, token, longest } end
  if not next then return grant() end
end

if not queues then
  if state == 'grace' and not held then return { state, now, grace } end
  return { 'busy', now }
end

if not redis.call('ZSCORE', queue, waiter) then
  local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
  redis.call('ZADD', queue, last + 1, waiter)
end
redis.call('ZADD', deadlines, now + liveness, waiter)
redis.call('PEXPIRE', queue, liveness)
redis.call('PEXPIRE', deadlines, liveness)
return { 'waiting', now, math.max(redis.call('PTTL', lock), grace), redis.call('ZRANK', queue, waiter) }
