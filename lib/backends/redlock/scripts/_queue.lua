-- The queue of a lock at one of several nodes: two sorted sets of waiters, '<process>:<number>', which
-- is the request's id, or '<id> s' for one that is to read: `queue` by ticket, on which the nodes agree,
-- `deadlines` by the time of this node at which a waiter that gave no sign counts as dead.

--- @include "tell"

-- So many processes are told in vain before a script gives up: the next look goes on.
local MOST_UNHEARD = 2000

local function waiter_of(id, kind)
  return kind == '' and id or id .. ' ' .. kind
end

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

-- Tells the first waiter that a lock is free here, or free beside its readers: it will ask all nodes.
-- If it is to read, tells all readers after it up to a writer when `all` is to be told. Passes over
-- those whose process nobody hears for. `present`, on whose behalf this script runs, is told by the
-- reply. To be called when nobody holds the lock alone.
-- Returns the id of who keeps a writer from having the lock, then of who keeps a reader; if that is
-- `present`, it may have it itself, if it is nil, anybody may who is not in the queue.
local function tell_first(held, queue, deadlines, channel, present, all)
  if redis.call('EXISTS', queue) == 0 then return nil, nil end
  drop_dead(queue, deadlines)
  local tell, deaf, unheard = teller('ordinary ' .. channel), {}, 0

  local function hears(id)
    local process = process_of(id)
    if deaf[process] then return false end
    if tell(process, 'free ' .. id) then return true end
    deaf[process] = true
    unheard = unheard + 1
    return false
  end

  local before, reading, first = nil, held.limit ~= nil, 0
  repeat
    local waiters = redis.call('ZRANGE', queue, first, first + 99)
    for _, waiter in ipairs(waiters) do
      local id, kind = string.match(waiter, '^(%S+) ?(%w*)$')
      if waiter == present then return before or id, id end
      if kind == '' then
        -- Who is to write after others has its turn after them, whether it hears now or not.
        if reading or hears(id) then return before or id, id end
      elseif (before and not all) or hears(id) then
        before, reading = before or id, true
      end
    end
    first = first + 100
  until #waiters < 100 or unheard >= MOST_UNHEARD
  return before, nil
end

local function give_sign(queue, deadlines, waiter, liveness)
  redis.call('ZADD', deadlines, now + liveness, waiter)
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
end

-- The first may have been told a later time to look.
local function tell_kept(queue, channel)
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  local id = first and string.match(first, '^%S+')
  if id then teller('ordinary ' .. channel)(process_of(id), 'kept ' .. id) end
end
