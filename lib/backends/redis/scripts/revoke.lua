-- Asks the holders of a lock to give it back.
--
-- KEYS  1 lock  2 told
-- ARGV  1 address of the holders  2 how long they have to stop (ms)  3 the reason
-- Reply how many there are
--- @include "clock"
--- @include "holders"
--- @include "tell"
--- @include "leave-word"
-- It is true for whoever hears it, also for who listens at a replica.
local _, say = messenger(ARGV[1])
local all = all_of(holders_of(KEYS[1]))
for _, lease in ipairs(all) do
  local message = 'revoked ' .. lease[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]
  leave_word(KEYS[2], message, lease[3])
  say(process_of(lease[1]), message)
end
return #all
