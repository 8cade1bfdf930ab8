-- Ends all leases of a lock, tells those who had them, and grants it to those who are next.
--
-- KEYS  1 sequence  2 guard  3 lock  4 queue  5 deadlines  6 told
-- ARGV  1 run id of the server, or '' for no guard  2 address of holders and waiters
-- Reply how many there were
--- @include "clock"
--- @include "holders"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
--- @include "leave-word"
local sequence, guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local told, run, address = KEYS[6], ARGV[1], ARGV[2]

local held = holders_of(lock)
local all = all_of(held)
local _, say = messenger(address)
free(held)
-- It is true for whoever hears it, also for who listens at a replica.
for _, lease in ipairs(all) do
  local message = string.format('lost %s %.0f', lease[1], lease[2])
  leave_word(told, message, lease[3])
  say(process_of(lease[1]), message)
end
if guarded(guard, run) == 'open' then
  hand_off(held, queue, deadlines, sequence, address, nil)
end
return #all
