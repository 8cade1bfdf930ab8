-- Who holds a lock stands in one key. One who holds it alone: a string, '<id> <token>'. Those who hold
-- it beside each other: a hash with '<id>' -> '<token> <end of the lease, ms>' for each, and
-- '#' -> '<limit> <a time before which none of them ends, ms>'. What was given back and is only kept
-- taken has '- <id>' in the place of the id. The key does not expire before the last of them ends.
--
-- `held` is what was read of it: `lock` the key, then `alone` the string, or `limit` and `first` of
-- the hash, or neither when nobody holds it.
--- @include "owner"
--- @include "admit"

local function read_lease(value)
  local token, ends = string.match(value, '^(%d+) (%d+)$')
  return tonumber(token), tonumber(ends)
end

local function free(held)
  redis.call('DEL', held.lock)
  held.alone, held.limit = nil, nil
end

-- Ends leases whose time is over. As nothing is looked for before one of them can be, it costs each
-- lease one such look, and a renewed one another.
local function drop_expired(held)
  local fields = redis.call('HGETALL', held.lock)
  local first, last = math.huge, 0
  for index = 1, #fields, 2 do
    if fields[index] ~= '#' then
      local _, ends = read_lease(fields[index + 1])
      if ends < now then
        redis.call('HDEL', held.lock, fields[index])
      else
        first, last = math.min(first, ends), math.max(last, ends)
      end
    end
  end
  if last == 0 then
    free(held)
    return
  end
  held.first = first
  -- First, as it needs no memory: see prolong.
  redis.call('PEXPIRE', held.lock, last - now + 1)
  redis.call('HSET', held.lock, '#', write_lease(held.limit, first))
end

local function holders_of(lock)
  local held = { lock = lock }
  local form = redis.call('TYPE', lock).ok
  if form == 'none' then return held end
  local head = form == 'hash' and redis.call('HGET', lock, '#')
  if not head then
    -- Where somebody else's key of another kind stands, this fails and says so.
    held.alone = redis.call('GET', lock)
    return held
  end
  held.limit, held.first = read_lease(head)
  if held.first < now then drop_expired(held) end
  return held
end

-- The token of this id's lease and how many milliseconds of it are left; nil when it has none.
local function lease_of(held, id)
  if held.alone then
    if owns(held.alone, id) then return token_of(held.alone), redis.call('PTTL', held.lock) end
  elseif held.limit then
    local value = redis.call('HGET', held.lock, id)
    if not value then return nil end
    local token, ends = read_lease(value)
    return token, ends - now
  end
end

-- In how many milliseconds somebody may be let in who is not now, unless somebody leaves or renews;
-- negative when no time will do that, as where a key stands that does not expire.
local function free_in(held)
  if held.limit then return held.first - now end
  return redis.call('PTTL', held.lock)
end

-- Gives a lease at least so much more life. Never less: what asks for it may be late.
local function prolong(held, id, token, left, ttl)
  if left >= ttl then return end
  -- First, as it needs no memory: after it Redis grants what is needed, also when it has none left.
  redis.call('PEXPIRE', held.lock, math.max(ttl, held.limit and redis.call('PTTL', held.lock) or 0))
  if held.limit then redis.call('HSET', held.lock, id, write_lease(token, now + ttl)) end
end

-- One who had so many milliseconds left is gone, or has less: if it was the last to end, the key is to
-- expire sooner. The two clocks differ by a rounding.
local function settle(held, left)
  if redis.call('HLEN', held.lock) <= 1 then free(held)
  elseif left + 2 >= redis.call('PTTL', held.lock) then drop_expired(held) end
end

local function end_lease(held, id, left)
  if held.alone then
    free(held)
  else
    redis.call('HDEL', held.lock, id)
    settle(held, left)
  end
end

-- Ends a lease, if there is one, but keeps its place taken for so long.
local function keep(held, id, token, left, ms)
  local kept = '- ' .. id
  -- First, as it needs no memory: see prolong.
  redis.call('PEXPIRE', held.lock, math.max(ms, redis.call('PTTL', held.lock)))
  if not held.limit then
    let_in(held, kept, '', token, ms)
  else
    redis.call('HDEL', held.lock, id)
    let_in(held, kept, held.limit == 1 and 's' or string.format('%d', held.limit), token, ms)
    settle(held, left)
  end
end

-- All who hold it, in no order, also those for whom it is only kept: id, token, milliseconds left, and
-- the field of the hash.
local function all_of(held)
  local all = {}
  if held.alone then
    local id, token = string.match(held.alone, '(%S+) (%d+)$')
    if id then all[1] = { id, tonumber(token), redis.call('PTTL', held.lock), held.alone } end
    return all
  end
  local fields = held.limit and redis.call('HGETALL', held.lock) or {}
  for index = 1, #fields, 2 do
    local field = fields[index]
    if field ~= '#' then
      local token, ends = read_lease(fields[index + 1])
      all[#all + 1] = { string.match(field, '%S+$'), token, ends - now, field }
    end
  end
  return all
end
