-- What this node knows of itself. Changes nothing.
--
-- KEYS  1 guard  2 sequence
-- Reply {1 it has a guard or 0, the longest ttl that a live lease may have, the last token}
--- @include "clock"
--- @include "guard"
local state = read_guard(KEYS[1])
local token = tonumber(redis.call('GET', KEYS[2]) or 0)
return { state and 1 or 0, state and state.longest or 0, token }
