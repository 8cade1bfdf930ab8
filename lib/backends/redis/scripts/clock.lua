-- What time it is at the server that has this slot.
--
-- KEYS  1 any key of the slot
-- Reply now (ms)
--- @include "clock"
return now
