-- Gives many leases at least so much more life at one node, never less. A lease that is not there is
-- put there only to repair it, when a majority of the nodes has just renewed it; or in a grace, when
-- holders assert what the node forgot, as it has not voted for anybody since.
--
-- KEYS  1 sequence  2 guard, then a lock each
-- ARGV  1 run id of the node  2 whether to repair: 1 or 0  3 prefix of the names that say what was
--       ended by force, then id, token and ttl (ms) each
-- Reply 'stranger'  the process has to enter first: nothing was done
--       or for each 1 renewed, 0 another has the lock, 2 nobody has it, or the error of the command
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "raise"
local sequence, guard = KEYS[1], KEYS[2]
local run, repairs, ended = ARGV[1], ARGV[2] == '1', ARGV[3]

local longest = 0
for index = 6, #ARGV, 3 do longest = math.max(longest, tonumber(ARGV[index])) end
local state = guarded(guard, run, longest)
if state == 'stranger' then return state end

local function renew(lock, id, token, ttl)
  local held = redis.call('GET', lock)
  if owns(held, id) then
    if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    return 1
  end
  if not repairs and state ~= 'grace' then return held and 0 or 2 end
  if redis.call('EXISTS', ended .. id) == 1 then return 0 end
  -- What an old disk brought back is older than what a majority has.
  if held and not (state == 'grace' and token_of(held) < tonumber(token)) then return 0 end
  redis.call('SET', lock, id .. ' ' .. token, 'PX', ttl)
  raise(sequence, tonumber(token))
  return 1
end

local renewed = {}
for index = 3, #KEYS do
  local first = 3 * (index - 3) + 4
  local fine, answer = pcall(renew, KEYS[index], ARGV[first], ARGV[first + 1], ARGV[first + 2])
  if not fine then answer = type(answer) == 'table' and answer.err or answer end
  renewed[index - 2] = answer
end
return renewed
