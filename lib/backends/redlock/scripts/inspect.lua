-- Who has a lock at this node, and who waits for it. Changes nothing.
--
-- KEYS  1 lock  2 deadlines
-- Reply {waiters}, or {waiters, id, token, ms left of the lease}
--- @include "clock"
--- @include "owner"
local lock, deadlines = KEYS[1], KEYS[2]
local waiters = redis.call('ZCOUNT', deadlines, '(' .. now, '+inf')
local held = redis.call('GET', lock)
-- The first of those who wait for a free lock is on its way to it.
if not held then return { math.max(0, waiters - 1) } end
local id = string.match(held, '^%S+')
-- Where others voted for it, it may still stand in the queue.
if tonumber(redis.call('ZSCORE', deadlines, id) or 0) > now then waiters = waiters - 1 end
return { waiters, id, token_of(held), redis.call('PTTL', lock) }
