-- Who holds a lock, and how many live waiters it has. Changes nothing.
--
-- KEYS  1 lock  2 deadlines
-- Reply {waiters}, or {waiters, token, ms left of the lease}
--- @include "clock"
--- @include "owner"
local waiters = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
local held = redis.call('GET', KEYS[1])
if not held then return { waiters } end
return { waiters, token_of(held), redis.call('PTTL', KEYS[1]) }
