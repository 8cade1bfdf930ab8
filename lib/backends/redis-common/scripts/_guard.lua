-- The guard against a server that forgot what it granted: it restarted, or another node took its
-- place. `guard` is '<run id> <previous> <grace end> <longest> <until>': the run id of the server
-- that all this is known of, that of the one before it ('-' when none is known), the server time up
-- to which nothing new is granted, the longest ttl that a live lease may have, and the server time
-- from which on no lease has more than half of that. A run id of '' stands for a
-- process without a guard, which keeps to the one that others have.

local function read_guard(guard)
  local run, previous, grace, longest, till =
    string.match(redis.call('GET', guard) or '', '^(%S+) (%S+) (%d+) (%d+) (%d+)$')
  if not run then return nil end
  return {
    run = run,
    previous = previous,
    grace = tonumber(grace),
    longest = tonumber(longest),
    till = tonumber(till),
  }
end

local function write_guard(guard, state)
  redis.call('SET', guard, string.format('%s %s %.0f %.0f %.0f',
    state.run, state.previous, state.grace, state.longest, state.till))
end

-- Counts in a lease of so many milliseconds. A lease that was longer than all others is forgotten
-- by halves: one a day long would else keep a server that fails over closed for a day for ever.
local function count_in(guard, state, ttl)
  if now > state.till and state.longest > ttl then
    state.longest = math.max(math.floor(state.longest / 2), ttl)
    state.till = now + state.longest
  elseif ttl > state.longest or (2 * ttl > state.longest and now + ttl > state.till) then
    state.longest = math.max(state.longest, ttl)
    -- A little more, so that not each lease has to write it.
    state.till = math.max(state.till, now + math.floor(1.25 * ttl))
  else
    return
  end
  write_guard(guard, state)
end

-- What the server knows of itself: 'open' and -1, 'grace' and how many milliseconds of it are left, or
-- 'stranger' when the caller took it for another one and has to enter first; then the longest ttl
-- that a live lease may have. A lease of `ttl`, if there is one, is counted in.
local function guarded(guard, run, ttl)
  local state = read_guard(guard)
  if not state and run == '' then return 'open', -1, 0 end
  if not state or (run ~= '' and state.run ~= run) then return 'stranger', 0, 0 end
  if ttl then count_in(guard, state, ttl) end
  local left = state.grace - now
  if left > 0 then return 'grace', left, state.longest end
  return 'open', -1, state.longest
end
