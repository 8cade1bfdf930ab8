-- Takes back what a request has at this node: its vote or lease, and its place in the queue. Or one
-- vote, that came to nothing: then it is put back to its place. A lock that is free then is told to
-- the first who waits.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 guard
-- ARGV  1 id  2 token of the one vote, or 0 for everything  3 ticket of the place to have again, or 0
--       4 channel prefix  5 how long a waiter lives without a sign (ms)  6 run id of the node
-- Reply 1 it had the lock, or may have had it, as the node forgot that and nobody has it since;
--       0 it had not
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "queue"
local lock, queue, deadlines, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, vote, ticket = ARGV[1], ARGV[2], ARGV[3]
local channel, liveness, run = ARGV[4], tonumber(ARGV[5]), ARGV[6]

local held = redis.call('GET', lock)
local owned = owns(held, id)
local stays = ticket ~= '0'
if vote ~= '0' then
  -- A later round has written a greater token, by which it may have won.
  if held ~= id .. ' ' .. vote then return 0 end
  if stays then
    redis.call('ZADD', queue, ticket, id)
    give_sign(queue, deadlines, id, liveness)
  end
else
  redis.call('ZREM', queue, id)
  redis.call('ZREM', deadlines, id)
end
if owned then redis.call('DEL', lock) end
local state = guarded(guard, run)
-- Also of a lock that was free already: it may have been the one that was told.
if (owned or not held) and state == 'open' then
  tell_first(queue, deadlines, channel, stays and id or nil)
end
return (owned or (not held and state == 'grace')) and 1 or 0
