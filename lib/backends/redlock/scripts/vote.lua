-- Asks one node for its vote. Idempotent by id: asked again it gives the same vote, or the same place.
-- A free lock is voted only to the first of those who wait here, so that the votes of all nodes go
-- to the same one; to readers it is voted beside each other, up to a writer who waits.
--
-- KEYS  1 sequence  2 guard  3 lock  4 queue  5 deadlines
-- ARGV  1 run id of the node  2 channel prefix  3 how long a waiter lives without a sign (ms)
--       4 time of this node (ms) after which nobody wants this any more, or 0
--       5 id  6 's' to read, '' to hold alone  7 ttl (ms)  8 whether to queue: 1 or 0
--       9 proposal: the least token and ticket to give  10 ticket that other nodes gave, or 0
-- Reply {'granted', now, token}
--       {'waiting', now, ms until the lock may be free or -1, the ids of some who have it or of the one
--        who is to get it before, ticket}
--       {'busy', now, the same two}
--       {'late', now}  too late: nothing was done
--       {'stranger', now}  the process has to enter first: nothing was done
--       In a grace the node has no vote: nobody ('-') has the lock, and it is not given.
--- @include "clock"
--- @include "held"
--- @include "named"
--- @include "guard"
--- @include "queue"
local sequence, guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local run, channel, liveness, not_after = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local id, kind, ttl, queues = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local proposal, ticket = tonumber(ARGV[9]), tonumber(ARGV[10])

if not_after > 0 and now > not_after then return { 'late', now } end
local state, grace = guarded(guard, run, ttl)
if state == 'stranger' then return { state, now } end

local held = held_of(lock)
local token, life = lease_of(held, id)
if token then
  -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
  prolong(held, id, token, life, ttl)
  return { 'granted', now, token }
end

local waiter, who = waiter_of(id, kind), '-'
if not fits(held, kind) then
  who = named(held)
elseif state == 'open' then
  local before_writer, before_reader = tell_first(held, queue, deadlines, channel, waiter, false)
  local before = kind == '' and before_writer or kind ~= '' and before_reader or nil
  if not before or before == id then
    token = math.max(tonumber(redis.call('GET', sequence) or 0) + 1, proposal)
    redis.call('SET', sequence, string.format('%.0f', token))
    let_in(held, id, kind, token, ttl)
    if before then
      redis.call('ZREM', queue, waiter)
      redis.call('ZREM', deadlines, waiter)
    end
    return { 'granted', now, token }
  end
  who = before
end
local left = math.max(free_in(held), grace)
if not queues then return { 'busy', now, left, who } end

local mine = redis.call('ZSCORE', queue, waiter)
if not mine then
  local last = tonumber(redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0)
  -- Whoever has a place at other nodes has it here as well: this one was away, or forgot it.
  mine = ticket > 0 and ticket or math.max(last + 1, proposal)
  redis.call('ZADD', queue, string.format('%.0f', mine), waiter)
elseif tonumber(mine) < ticket then
  mine = ticket
  redis.call('ZADD', queue, string.format('%.0f', mine), waiter)
end
give_sign(queue, deadlines, waiter, liveness)
return { 'waiting', now, left, who, tonumber(mine) }
