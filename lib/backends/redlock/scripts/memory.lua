-- What this node knows of itself. Changes nothing.
--
-- KEYS  1 sequence  2 guard
-- Reply {run id of the server that wrote its guard, or '', the longest ttl that a live lease may have, the last token}
--- @include "clock"
--- @include "guard"
local state = read_guard(KEYS[2])
local token = tonumber(redis.call('GET', KEYS[1]) or 0)
return { state and state.run or '', state and state.longest or 0, token }
