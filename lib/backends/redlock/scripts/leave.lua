-- Takes back what a request has at this node: its vote or lease, and its place in the queue; or puts
-- it back to its place. A lock that is free then is told to the first who waits.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 guard
-- ARGV  1 id  2 ticket of the place that it is to have again, or 0  3 channel prefix
--       4 how long a waiter lives without a sign (ms)  5 run id of the node
-- Reply 1 it had the lock, 0 it had not
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "queue"
local lock, queue, deadlines, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, ticket, channel, liveness, run = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local stays = ticket ~= '0'
if stays then
  redis.call('ZADD', queue, ticket, id)
  give_sign(queue, deadlines, id, liveness)
else
  redis.call('ZREM', queue, id)
  redis.call('ZREM', deadlines, id)
end
local held = redis.call('GET', lock)
local owned = owns(held, id)
if owned then redis.call('DEL', lock) end
-- Also of a lock that was free already: it may have been the one that was told.
if (owned or not held) and guarded(guard, run) == 'open' then
  tell_first(queue, deadlines, channel, stays and id or nil)
end
return owned and 1 or 0
