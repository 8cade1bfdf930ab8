-- Who is let in, given who holds a lock: `held`, as _holders.lua reads it.
--- @include "terms"
local function write_lease(token, ends)
  return string.format('%.0f %.0f', token, ends)
end

-- Whether one more of this kind can hold beside those who do.
local function fits(held, kind)
  if held.alone then return false end
  if not held.limit then return true end
  if kind == '' or limit_of(kind) ~= held.limit then return false end
  return kind == 's' or redis.call('HLEN', held.lock) - 1 < held.limit
end

-- Writes down a lease of one that fits.
local function let_in(held, id, kind, token, ttl)
  if kind == '' then
    held.alone = id .. ' ' .. string.format('%.0f', token)
    redis.call('SET', held.lock, held.alone, 'PX', ttl)
    return
  end
  local ends, life = now + ttl, held.limit and redis.call('PTTL', held.lock) or 0
  if not held.limit or ends < held.first then
    held.limit, held.first = limit_of(kind), ends
    redis.call('HSET', held.lock, '#', write_lease(held.limit, ends), id, write_lease(token, ends))
  else
    redis.call('HSET', held.lock, id, write_lease(token, ends))
  end
  if life < ttl then redis.call('PEXPIRE', held.lock, ttl) end
end
