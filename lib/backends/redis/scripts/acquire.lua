-- Asks for a lock. Idempotent by id: asked again it answers the same grant, or the same place.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence
-- ARGV  1 id  2 ttl (ms)  3 server time (ms) after which nobody wants this any more, or 0
--       4 whether to queue: 1 or 0  5 channel prefix  6 how long a waiter lives without a sign (ms)
-- Reply {'granted', now, token}
--       {'waiting', now, ms left of the holder's lease, place in the queue from 0}
--       {'busy', now}
--       {'late', now}  too late: nothing was done
-- Cost  TIME, EXISTS, SET (sequence), SET NX when nobody holds the lock and nobody waits; the
--       sequence moves, harmlessly, also when somebody holds it and nobody waits
--- @include "clock"
--- @include "owner"
--- @include "mint"
--- @include "hand-off"
local lock, queue, deadlines, sequence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, ttl, not_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local queues, channel, liveness = ARGV[4] == '1', ARGV[5], tonumber(ARGV[6])

if not_after > 0 and now > not_after then return { 'late', now } end

local function grant()
  local token = mint(sequence)
  if redis.call('SET', lock, id .. ' ' .. string.format('%.0f', token), 'NX', 'PX', ttl) then
    return { 'granted', now, token }
  end
end

if redis.call('EXISTS', queue) == 0 then
  local granted = grant()
  if granted then return granted end
end

local held = redis.call('GET', lock)
if owns(held, id) then
  -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
  if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
  return { 'granted', now, token_of(held) }
end

local waiter = id .. ' ' .. ttl
if not held then
  -- The holder's lease has ended by itself: those who wait come first.
  local next, token = hand_off(lock, queue, deadlines, sequence, channel, waiter)
  if next == waiter then return { 'granted', now, token } end
  if not next then return grant() end
end

if not queues then return { 'busy', now } end

if not redis.call('ZSCORE', queue, waiter) then
  local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
  redis.call('ZADD', queue, last + 1, waiter)
end
redis.call('ZADD', deadlines, now + liveness, waiter)
redis.call('PEXPIRE', queue, liveness)
redis.call('PEXPIRE', deadlines, liveness)
return { 'waiting', now, redis.call('PTTL', lock), redis.call('ZRANK', queue, waiter) }
