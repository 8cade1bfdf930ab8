-- Asks those who have a lock at this node to give it back.
--
-- KEYS  1 lock
-- ARGV  1 channel prefix  2 mark by which the messages of all nodes are known to be one  3 how long
--       they have to stop (ms)  4 the reason
-- Reply their ids
--- @include "clock"
--- @include "held"
--- @include "tell"
local _, say = messenger('ordinary ' .. ARGV[1])
local ids = {}
for index, lease in ipairs(all_of(held_of(KEYS[1]))) do
  ids[index] = lease[1]
  say(process_of(lease[1]), table.concat({ 'revoked', lease[1], ARGV[2], ARGV[3], ARGV[4] }, ' '))
end
return ids
