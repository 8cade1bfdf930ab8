-- Gives many leases at least so much more life. Never shortens one: this may be a late copy of a
-- renewal after which a longer one was answered. Never creates one, but in a grace, when holders
-- assert what the server forgot: of two that claim a lock, the one with the greater token holds it.
--
-- KEYS  1 sequence  2 guard, then a lock each
-- ARGV  1 run id of the server, or '' for no guard, then '<id> <token> <ttl>' each
-- Reply 'stranger'  the process has to enter first: nothing was done
--       or for each 1 renewed, 0 not (any more) the owner's, or the error of the command that failed
-- Cost  TIME, then GET, PTTL, PEXPIRE each
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "raise"
local sequence, guard, run = KEYS[1], KEYS[2], ARGV[1]

local longest = 0
if run ~= '' then
  for index = 2, #ARGV do
    longest = math.max(longest, tonumber(string.match(ARGV[index], '%d+$')))
  end
end
local state = guarded(guard, run, longest)
if state == 'stranger' then return state end

local function renew(lock, lease)
  local id, token, ttl = string.match(lease, '^(%S+) (%d+) (%d+)$')
  local held = redis.call('GET', lock)
  if owns(held, id) then
    if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    return 1
  end
  if state ~= 'grace' or (held and token_of(held) >= tonumber(token)) then return 0 end
  redis.call('SET', lock, id .. ' ' .. token, 'PX', ttl)
  raise(sequence, tonumber(token))
  return 1
end

local renewed = {}
for index = 3, #KEYS do
  -- What is wrong with one key must not end the leases of the others.
  local fine, answer = pcall(renew, KEYS[index], ARGV[index - 1])
  if not fine then answer = type(answer) == 'table' and answer.err or answer end
  renewed[index - 2] = answer
end
return renewed
