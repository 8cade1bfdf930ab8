-- Gives many leases at least so much more life. Never shortens one: this may be a late copy of a
-- renewal after which a longer one was answered. Never creates one, but in a grace, when holders
-- assert what the server forgot: of those that claim a lock and cannot hold it beside each other, the
-- ones with the greater tokens hold it.
--
-- KEYS  1 sequence  2 guard, then a lock each
-- ARGV  1 run id of the server, or '' for no guard  2 address of the process, or '' when it needs no
--       message 'beat' now  3 a line for each: '<id> <token> <terms>'
-- Reply 'stranger'  the process has to enter first: nothing was done
--       or whether the message was heard, 1 or 0, then for each 1 renewed, 0 not (any more) the
--       owner's, {'failed', error}
-- Cost  TIME, then GET, PTTL, PEXPIRE each; of one beside others TYPE, 2 HGET, HSET, PTTL, PEXPIRE
--- @include "clock"
--- @include "owner"
--- @include "guard"
local sequence, guard, run, address = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local leases = {}
for lease in string.gmatch(ARGV[3], '[^\n]+') do leases[#leases + 1] = lease end

local state = guarded(guard, run)
if state == 'stranger' then return state end

-- Last, as a renewal needs no memory, and this may: see prolong.
local function count_all_in()
  if run == '' and redis.call('EXISTS', guard) == 0 then return end
  local longest = 0
  for _, lease in ipairs(leases) do
    longest = math.max(longest, tonumber(string.match(lease, '^%S+ %d+ (%d+)')))
  end
  guarded(guard, run, longest)
end

local heard = 0
if address ~= '' then
  --- @include "tell"
  if teller(address)(process_of(leases[1]), 'beat') then heard = 1 end
end

local renewed, others = { heard }, {}
for index, lease in ipairs(leases) do
  local lock = KEYS[index + 2]
  local id, ttl = string.match(lease, '^(%S+) %d+ (%d+)$')
  local held = id and redis.pcall('GET', lock)
  if type(held) == 'string' and owns(held, id) then
    if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    renewed[index + 1] = 1
  else
    renewed[index + 1] = 0
    others[#others + 1] = index
  end
end
if #others == 0 then
  count_all_in()
  return renewed
end

--- @include "holders"
--- @include "make-room"
--- @include "raise"
--- @include "each"
local function renew(lock, lease)
  local id, token, ttl, kind = string.match(lease, '^(%S+) (%d+) (%d+) ?(%S*)$')
  token, ttl = tonumber(token), tonumber(ttl)
  local held = holders_of(lock)
  local granted, left = lease_of(held, id)
  if granted then
    prolong(held, id, granted, left, ttl)
    return 1
  end
  if state ~= 'grace' or not make_room(held, kind, token) then return 0 end
  let_in(held, id, kind, token, ttl)
  raise(sequence, token)
  return 1
end

for _, index in ipairs(others) do
  renewed[index + 1] = each_alone(renew, KEYS[index + 2], leases[index])
end
count_all_in()
return renewed
