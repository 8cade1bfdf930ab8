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

-- Grants a lock to those at the head of its queue that fit beside who holds it and can be told of it:
-- `present`, on whose behalf this script runs, by the script's own reply; any other by a message to its
-- process. A process that nobody hears for is passed over but keeps its place, as it may only be
-- reconnecting; one that does not fit holds up all behind it.
-- Returns the token of `present` if that was granted, and whether nobody is held up.
local function hand_off(held, queue, deadlines, sequence, address, present)
  drop_dead(queue, deadlines)
  local tell = teller(address)
  local token, minted, granted = nil, 0, nil
  local deaf, unheard = {}, 0

  local function hears(process, id, life, reserve)
    if deaf[process] then return false end
    local message = string.format('granted %s %.0f %.0f %d %d', id, token, now, life, reserve)
    if tell(process, message) then return true end
    deaf[process] = true
    unheard = unheard + 1
    return false
  end

  local function give(waiter, id, kind, life)
    let_in(held, id, kind, token, life)
    redis.call('ZREM', queue, waiter)
    redis.call('ZREM', deadlines, waiter)
    if waiter == present then granted = token end
    token = nil
  end

  -- The first alone, who is the only one mostly.
  local passed_over, page, waiters = 0, 1, nil
  repeat
    waiters = redis.call('ZRANGE', queue, passed_over, passed_over + page - 1)
    for _, waiter in ipairs(waiters) do
      local id, process, ttl, kind = string.match(waiter, '^(([^:]*):%d+) (%d+) ?(%w*)$')
      if not fits(held, kind) then return granted, false end
      local life, reserve = tonumber(ttl), kind == '' and RESERVE or 0
      if not token or minted < 1 + reserve then
        minted = 1 + reserve
        token = mint(sequence, minted)
      end
      if waiter == present then
        give(waiter, id, kind, life)
      elseif hears(process, id, math.min(life, CLAIM), reserve) then
        give(waiter, id, kind, math.min(life, CLAIM))
      else
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
      token = mint(sequence, 1)
      give(present, id, kind, tonumber(ttl))
    end
  end
  return granted, true
end
