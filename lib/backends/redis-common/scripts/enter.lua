-- A process enters with what it knows, on each new connection: whether this server is still the one
-- that granted what is held. If it is not, a grace begins in which nothing new is granted and
-- holders assert their leases anew, until every lease that was given before has expired.
--
-- KEYS  1 sequence  2 guard
-- ARGV  1 run id of the server  2 the run id that the process knew before, or ''
--       3 whether a missing guard means lost memory also to who knew none: 1 or 0
--       4 the longest ttl that the process knows of (ms)  5 the greatest token that it knows of
-- Reply {now, ms left of a grace, the longest ttl that a live lease may have,
--        1 when the grace began with this call, else 0}
--- @include "clock"
--- @include "guard"
--- @include "raise"
local sequence, guard = KEYS[1], KEYS[2]
local run, known, suspicious = ARGV[1], ARGV[2], ARGV[3] == '1'
local longest, token = tonumber(ARGV[4]), tonumber(ARGV[5])

local state = read_guard(guard)
local lost
if state then
  -- Whoever entered first after a loss may have known nothing of it; and one that was the master
  -- before, and is again, may not have heard of the one in between.
  local unnoticed = known ~= '' and known ~= run and known ~= state.previous
  lost = state.run ~= run or unnoticed
else
  lost = suspicious or known ~= ''
  state = { run = run, previous = '-', grace = 0, longest = 0, till = 0 }
end

if lost then
  local before = known ~= '' and known ~= run and known or nil
  state.previous = before or (state.run ~= run and state.run) or run
  state.run = run
  state.longest = math.max(state.longest, longest)
  state.grace = now + state.longest
  state.till = math.max(state.till, state.grace)
elseif longest > state.longest then
  if state.grace > now then state.grace = state.grace + longest - state.longest end
  state.longest = longest
  state.till = math.max(state.till, now + longest)
end
write_guard(guard, state)
raise(sequence, token)
return { now, math.max(0, state.grace - now), state.longest, lost and 1 or 0 }
