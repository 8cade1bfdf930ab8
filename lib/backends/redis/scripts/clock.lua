-- What time it is at the server that has this slot, and whether others have a guard there, for a process
-- that has none.
--
-- KEYS  1 sequence  2 guard; on a Cluster, which has none, the sequence again
-- Reply {now (ms), 1 if there is a guard, else 0}
--- @include "clock"
return { now, KEYS[2] ~= KEYS[1] and redis.call('EXISTS', KEYS[2]) or 0 }
