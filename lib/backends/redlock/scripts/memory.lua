-- What this node knows of itself. Changes nothing.
--
-- KEYS  1 guard
-- Reply {1 it has a guard or 0, the longest ttl that a live lease may have}
--- @include "clock"
--- @include "guard"
local state = read_guard(KEYS[1])
if not state then return { 0, 0 } end
return { 1, state.longest }
