-- Ends many leases, each with the grant to the next waiter in the same step.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each lease
-- ARGV  1 address of the waiters  2 run id of the server, or '' for no guard, then the id of each lease
-- Reply for each 1 released, 0 it was not the owner's (any more): nothing was done, 2 nor is it known
--       to be anybody's, as the server forgot what it had granted, and granted nothing since,
--       {'failed', error}
-- Cost  GET, DEL, EXISTS each when nobody waits
--- @include "owner"
local sequence, guard, address, run = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local answers, waited_for, not_owned = {}, {}, {}
for index = 1, #ARGV - 2 do
  local lock = KEYS[3 * index]
  local held = redis.pcall('GET', lock)
  if type(held) == 'table' then
    -- What is wrong with one key must not stop the others.
    answers[index] = { 'failed', held.err }
  elseif owns(held, ARGV[index + 2]) then
    answers[index] = 1
    redis.call('DEL', lock)
    if redis.call('EXISTS', KEYS[3 * index + 1]) == 1 then waited_for[#waited_for + 1] = index end
  else
    answers[index] = 0
    not_owned[#not_owned + 1] = index
  end
end
if #waited_for == 0 and (#not_owned == 0 or run == '') then return answers end

--- @include "clock"
--- @include "mint"
--- @include "hand-off"
--- @include "guard"
local open = guarded(guard, run) == 'open'
for _, index in ipairs(open and waited_for or {}) do
  local key = 3 * index
  hand_off(KEYS[key], KEYS[key + 1], KEYS[key + 2], sequence, address, nil)
end
for _, index in ipairs(open and {} or not_owned) do answers[index] = 2 end
return answers
