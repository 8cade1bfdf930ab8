-- The queue of a lock is two sorted sets with the same members, '<id> <ttl>': `queue` by ticket
-- (order of arrival), `deadlines` by the server time at which a waiter that gave no sign counts as
-- dead. An id is '<process>:<number>'.

-- How many tokens are reserved with a hand-off, for those of its process to whom the lease is handed
-- over in turn. So few that no rate of hand-offs makes the sequence outrun the clock.
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

-- Grants a free lock to the first waiter that can be told of it: `present`, on whose behalf this
-- script runs, by the script's own reply; any other by a message to its process. A process that
-- nobody hears for is passed over but keeps its place, as it may only be reconnecting.
-- `address` is '<delivery> <channel prefix>': 'ordinary' by PUBLISH, 'sharded' by SPUBLISH.
-- Returns the waiter and its token, or nil when there is none.
local function hand_off(lock, queue, deadlines, sequence, address, present)
  drop_dead(queue, deadlines)
  local delivery, channel = string.match(address, '^(%S+) (.*)$')
  local token = nil
  local deaf = {}
  local unheard = 0

  local function tell(process, id, life)
    local message = 'granted ' .. id .. ' ' .. string.format('%.0f', token) .. ' '
      .. string.format('%.0f', now) .. ' ' .. life .. ' ' .. RESERVE
    local heard
    -- pcall: without the right to publish, the waiter's own heartbeat finds the lock free.
    if delivery == 'sharded' then heard = redis.pcall('SPUBLISH', channel .. process, message)
    else heard = redis.pcall('PUBLISH', channel .. process, message) end
    return type(heard) == 'number' and heard > 0
  end

  local function give(waiter, id, life)
    redis.call('SET', lock, id .. ' ' .. string.format('%.0f', token), 'PX', life)
    redis.call('ZREM', queue, waiter)
    redis.call('ZREM', deadlines, waiter)
    return waiter, token
  end

  local first = 0
  repeat
    local waiters = redis.call('ZRANGE', queue, first, first + 99)
    for _, waiter in ipairs(waiters) do
      token = token or mint(sequence, 1 + RESERVE)
      local id, process, ttl = string.match(waiter, '^(([^:]*):%d+) (%d+)$')
      if waiter == present then return give(waiter, id, ttl) end
      if not deaf[process] then
        local life = math.min(tonumber(ttl), CLAIM)
        if tell(process, id, life) then return give(waiter, id, life) end
        deaf[process] = true
        unheard = unheard + 1
      end
    end
    first = first + 100
  until #waiters < 100 or unheard >= MOST_UNHEARD

  -- Behind so many that do not answer, one that does comes first.
  if present and redis.call('ZSCORE', queue, present) then
    local id, ttl = string.match(present, '^(%S+) (%d+)$')
    return give(present, id, ttl)
  end
end
