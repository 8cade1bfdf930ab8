-- Gives many leases at least so much more life at one node, never less. A lease that is not there is
-- put there only to repair it, when a majority of the nodes has just renewed it; or in a grace, when
-- holders assert what the node forgot, as it has not voted for anybody since. One that only reads
-- does so here as well from then on, if this node missed that.
--
-- KEYS  1 sequence  2 guard, then a lock each
-- ARGV  1 run id of the node  2 channel prefix, or '' when the process needs no message 'beat' now
--       3 whether to repair: 1 or 0  4 prefix of the names that say what was ended by force, then id,
--       token and terms each: the ttl (ms), with ' s' of one that reads
-- Reply 'stranger'  the process has to enter first: nothing was done
--       or whether the message was heard, 1 or 0, then for each 1 renewed, 0 another has the lock, 2 nobody has it, or {'failed', error}
--- @include "clock"
--- @include "held"
--- @include "make-room"
--- @include "guard"
--- @include "raise"
--- @include "each"
local sequence, guard = KEYS[1], KEYS[2]
local run, channel, repairs, ended = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]

local state = guarded(guard, run)
if state == 'stranger' then return state end

local function renew(lock, id, token, terms)
  local ttl, kind = read_terms(terms)
  token = tonumber(token)
  local held = held_of(lock)
  local granted, left = lease_of(held, id)
  if granted then
    if held.alone and kind == 's' then
      free(held)
      let_in(held, id, kind, granted, math.max(left, ttl))
    else
      prolong(held, id, granted, left, ttl)
    end
    return 1
  end
  if not repairs and state ~= 'grace' then return fits(held, kind) and 2 or 0 end
  if redis.call('EXISTS', ended .. id) == 1 then return 0 end
  -- What an old disk brought back is older than what a majority has.
  local room = fits(held, kind) or (state == 'grace' and make_room(held, kind, token))
  if not room then return 0 end
  let_in(held, id, kind, token, ttl)
  raise(sequence, token)
  return 1
end

local heard = 0
if channel ~= '' then
  --- @include "tell"
  if teller('ordinary ' .. channel)(process_of(ARGV[5]), 'beat') then heard = 1 end
end

local renewed, longest = { heard }, 0
for index = 3, #KEYS do
  local first = 3 * (index - 3) + 5
  renewed[index - 1] = each_alone(renew, KEYS[index], ARGV[first], ARGV[first + 1], ARGV[first + 2])
  longest = math.max(longest, tonumber(string.match(ARGV[first + 2], '^%d+')))
end
-- Last, as a renewal needs no memory, and this may: see prolong.
guarded(guard, run, longest)
return renewed
