-- Takes back what a request has at this node: its vote or lease, and its place in the queue. Or one
-- vote, that came to nothing: then it is put back to its place. A lock that is free then is told to
-- those who are first of who waits; or it is kept taken for a while by a lease that is nobody's.
--
-- KEYS  1 guard  2 lock  3 queue  4 deadlines
-- ARGV  1 run id of the node  2 channel prefix  3 how long a waiter lives without a sign (ms)
--       4 id  5 's' for one that was to read, else ''
--       6 token of the one vote, or 0 for everything  7 ticket of the place to have again, or 0
--       8 for how long to keep it taken (ms), or 0  9 token of what is kept so, where it is forgotten
-- Reply 1 it had the lock, or may have had it, as the node forgot that and nobody has it since
--       who excludes it;
--       0 it had not
--- @include "clock"
--- @include "held"
--- @include "guard"
--- @include "queue"
local guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run, channel, liveness = ARGV[1], ARGV[2], tonumber(ARGV[3])
local id, kind, vote, ticket = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local keep_for, kept_token = tonumber(ARGV[8]), tonumber(ARGV[9])

local held = held_of(lock)
local token = token_at(held, id)
local waiter, stays = waiter_of(id, kind), ticket ~= '0'
if vote ~= '0' then
  -- A later round has written a greater token, by which it may have won.
  if token ~= tonumber(vote) then return 0 end
  if stays then
    redis.call('ZADD', queue, ticket, waiter)
    give_sign(queue, deadlines, waiter, liveness)
  end
else
  -- Where it had no vote it may still stand as it was asked for, before a downgrade.
  redis.call('ZREM', queue, waiter, id)
  redis.call('ZREM', deadlines, waiter, id)
end
local state = guarded(guard, run)
local forgotten = not token and state == 'grace' and fits(held, kind)
if keep_for > 0 and (token or forgotten) then
  local _, left = lease_of(held, id)
  keep(held, id, token or kept_token, left, keep_for)
  tell_kept(queue, channel)
  return 1
end
if token and held.alone then free(held) elseif token then
  local _, left = lease_of(held, id)
  end_lease(held, id, left)
end
-- Also of a lock that is free already: it may have been the one that was told.
if not held.alone and state == 'open' then
  tell_first(held, queue, deadlines, channel, stays and waiter or nil, true)
end
return (token or forgotten) and 1 or 0
