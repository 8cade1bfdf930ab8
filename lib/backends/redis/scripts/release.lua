-- Ends many leases, each with the grant to those who are next in the same step.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each lease
-- ARGV  1 run id of the server, or '' for no guard  2 address of the waiters  3 a line for each lease:
--       its id; or '<id> <ms>' when it may not hold alone, or is to be kept taken for so long
-- Reply for each 1 released, 0 it was not the owner's (any more): nothing was done, 2 nor is it known
--       to be anybody's, as the server forgot what it had granted, and granted nothing since,
--       {'failed', error}
-- Cost  GET, DEL, EXISTS each when nobody waits; of one beside others TYPE, 2 HGET,
--       HDEL, HLEN, PTTL, EXISTS
local sequence, guard, run, address = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

--- @include "owner"
local leases = {}
for lease in string.gmatch(ARGV[3], '[^\n]+') do leases[#leases + 1] = lease end

local answers, waited_for, not_owned, others = {}, {}, {}, {}
for index, lease in ipairs(leases) do
  local lock = KEYS[3 * index]
  local plain = not string.find(lease, ' ', 1, true)
  local held = plain and redis.pcall('GET', lock)
  if not plain or type(held) == 'table' then
    others[#others + 1] = index
  elseif owns(held, lease) then
    answers[index] = 1
    redis.call('DEL', lock)
    if redis.call('EXISTS', KEYS[3 * index + 1]) == 1 then waited_for[#waited_for + 1] = index end
  else
    answers[index] = 0
    not_owned[#not_owned + 1] = index
  end
end
if #waited_for + #others == 0 and (#not_owned == 0 or run == '') then return answers end

--- @include "clock"
--- @include "mint"
--- @include "admit"
--- @include "hand-off"
--- @include "guard"
--- @include "each"
local open = guarded(guard, run) == 'open'
for _, index in ipairs(open and waited_for or {}) do
  local key = 3 * index
  -- It is released, whatever stands in the place of its queue.
  each_alone(hand_off, { lock = KEYS[key] }, KEYS[key + 1], KEYS[key + 2], sequence, address, nil)
end
for _, index in ipairs(open and {} or not_owned) do answers[index] = 2 end
if #others == 0 then return answers end

--- @include "holders"
-- The first in the queue may have been told a later time to look.
local function tell_first(held, queue)
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  local id = first and string.match(first, '^%S+')
  if id then teller(address)(process_of(id), string.format('waiting %s %.0f', id, free_in(held))) end
end

local function release(index)
  local lock, queue, deadlines = KEYS[3 * index], KEYS[3 * index + 1], KEYS[3 * index + 2]
  local id, ms = string.match(leases[index], '^(%S+) ?(%d*)$')
  local keep_for = tonumber(ms) or 0
  local held = holders_of(lock)
  local token, left = lease_of(held, id)
  if not token then return open and 0 or 2 end
  if keep_for > 0 then
    guarded(guard, run, keep_for)
    keep(held, id, token, left, keep_for)
    tell_first(held, queue)
    return 1
  end
  end_lease(held, id, left)
  if open and redis.call('EXISTS', queue) == 1 then
    hand_off(held, queue, deadlines, sequence, address, nil)
  end
  return 1
end

for _, index in ipairs(others) do answers[index] = each_alone(release, index) end
return answers
