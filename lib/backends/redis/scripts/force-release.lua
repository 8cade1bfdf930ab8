-- Ends all leases of a lock, tells those who had them, and grants it to those who are next.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence  5 guard  6 told
-- ARGV  1 address of holders and waiters  2 run id of the server, or '' for no guard
-- Reply how many there were
--- @include "clock"
--- @include "holders"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
--- @include "leave-word"
local lock, queue, deadlines, sequence, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local told = KEYS[6]
local address, run = ARGV[1], ARGV[2]

local held = holders_of(lock)
local all = all_of(held)
local _, say = messenger(address)
free(held)
-- It is true for whoever hears it, also for who listens at a replica.
for _, lease in ipairs(all) do
  local message = 'lost ' .. lease[1]
  leave_word(told, message, lease[3])
  say(process_of(lease[1]), message)
end
if guarded(guard, run) == 'open' then
  hand_off(held, queue, deadlines, sequence, address, nil)
end
return #all
