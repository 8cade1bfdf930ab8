-- The queue of a lock is two sorted sets with the same members, '<id> <terms>': `queue` by ticket (the
-- server time in microseconds at which it came, or more, so that the order is that of arrival),
-- `deadlines` by the server time at which a waiter that gave no sign counts as dead.
--- @include "tell"

-- How many tokens are reserved with a hand-off, for those of its process to whom the lease is handed
-- over in turn; none where several hold. So few that no rate of hand-offs makes the sequence outrun
-- the clock.
local RESERVE = 16

-- How long a lease granted by hand-off lives until its holder renews it, in milliseconds: what a
-- waiter that died unseen costs the next one.
local CLAIM = 2000

-- How long a waiter lives without a sign, in milliseconds.
local LIVENESS = 3500

-- So many processes are told in vain before a script gives up: the next heartbeat goes on, and those
-- who are dead are gone by then or soon after.
local MOST_UNHEARD = 2000

-- However many there are, they go together: dead waiters cost one deadline, not a sum.
local function drop_dead(queue, deadlines)
  for _ = 1, 10 do
    local dead = redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, 1000)
    if #dead > 0 then
      redis.call('ZREM', queue, unpack(dead))
      redis.call('ZREM', deadlines, unpack(dead))
    end
    if #dead < 1000 then return end
  end
end

-- For how long one that nobody hears for is granted a lock without a word: nil, not at all, unless it
-- has been the first for as long as a waiter lives, and by its last sign of life it knew that it is
-- not heard (see heartbeat.lua). Its next one tells it, before it would count as dead.
local function unheard_claim(waiter, queue, deadlines)
  local came, dies = redis.call('ZSCORE', queue, waiter), redis.call('ZSCORE', deadlines, waiter)
  if dies % 1 == 0 or micros - came < 1000 * LIVENESS then return nil end
  return math.max(1, math.floor(dies - now))
end

-- Grants a lock to those at the head of its queue that fit beside who holds it and can be told of it:
-- `present`, on whose behalf this script runs, by the script's own reply; any other by a message to its
-- process. A process that nobody hears for is passed over but keeps its place, as it may only be
-- reconnecting; one that does not fit holds up all behind it.
-- Returns the token of `present` if that was granted, and whether nobody is held up.
local function hand_off(held, queue, deadlines, sequence, address, present)
  drop_dead(queue, deadlines)
  local listens, say = messenger(address)
  local granted, deaf, unheard = nil, {}, 0

  local function give(waiter, id, kind, token, life)
    let_in(held, id, kind, token, life)
    redis.call('ZREM', queue, waiter)
    redis.call('ZREM', deadlines, waiter)
    return true
  end

  -- A token of its own for each attempt: what was said of one that came to nothing is never true.
  local function tell(waiter, id, process, kind, life)
    if deaf[process] then return false end
    if listens(process) then
      local reserve = kind == '' and RESERVE or 0
      local token = mint(sequence, 1 + reserve)
      local message = string.format('granted %s %.0f %.0f %d %d', id, token, now, life, reserve)
      if say(process, message) then return give(waiter, id, kind, token, life) end
    end
    deaf[process] = true
    unheard = unheard + 1
    return false
  end

  local function give_unheard(waiter, id, kind, ttl)
    local claim = unheard_claim(waiter, queue, deadlines)
    return claim and give(waiter, id, kind, mint(sequence, 1), math.min(ttl, claim))
  end

  -- The first alone, who is the only one mostly.
  local passed_over, page, waiters = 0, 1, nil
  repeat
    waiters = redis.call('ZRANGE', queue, passed_over, passed_over + page - 1)
    for _, waiter in ipairs(waiters) do
      local id, process, ttl, kind = string.match(waiter, '^(([^:]*):%S+) (%d+) ?(%w*)$')
      if not fits(held, kind) then return granted, false end
      ttl = tonumber(ttl)
      if waiter == present then
        granted = mint(sequence, 1)
        give(waiter, id, kind, granted, ttl)
      elseif not tell(waiter, id, process, kind, math.min(ttl, CLAIM))
        and (passed_over > 0 or not give_unheard(waiter, id, kind, ttl)) then
        passed_over = passed_over + 1
      end
      if held.alone then return granted, false end
    end
    local last = #waiters < page
    page = 100
  until last or unheard >= MOST_UNHEARD

  -- Behind so many that do not answer, one that does comes first.
  if unheard >= MOST_UNHEARD and present and redis.call('ZSCORE', queue, present) then
    local id, ttl, kind = string.match(present, '^(%S+) (%d+) ?(%w*)$')
    if fits(held, kind) then
      granted = mint(sequence, 1)
      give(present, id, kind, granted, tonumber(ttl))
    end
  end
  return granted, true
end
