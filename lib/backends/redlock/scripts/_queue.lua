-- The queue of a lock at one of several nodes: two sorted sets of request ids, '<process>:<number>':
-- `queue` by ticket, on which the nodes agree, `deadlines` by the time of this node at which a waiter
-- that gave no sign counts as dead.

-- So many processes are told in vain before a script gives up: the next look goes on.
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

-- Tells the first waiter that a lock is free here, so that it will ask all nodes; or `word`. Passes
-- over those whose process nobody hears for. Returns who was told; `present`, on whose behalf this
-- script runs, is told by the reply. Nil when there is nobody.
local function tell_first(queue, deadlines, channel, present, word)
  if redis.call('EXISTS', queue) == 0 then return nil end
  drop_dead(queue, deadlines)
  local deaf = {}
  local unheard = 0
  local first = 0
  repeat
    local waiters = redis.call('ZRANGE', queue, first, first + 99)
    for _, id in ipairs(waiters) do
      if id == present then return id end
      local process = string.match(id, '^[^:]*')
      if not deaf[process] then
        -- pcall: without the right to publish, the waiter's own heartbeat finds the lock free.
        local heard = redis.pcall('PUBLISH', channel .. process, (word or 'free') .. ' ' .. id)
        if type(heard) == 'number' and heard > 0 then return id end
        deaf[process] = true
        unheard = unheard + 1
      end
    end
    first = first + 100
  until #waiters < 100 or unheard >= MOST_UNHEARD
  return nil
end

local function give_sign(queue, deadlines, id, liveness)
  redis.call('ZADD', deadlines, now + liveness, id)
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
end
