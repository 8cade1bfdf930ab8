--- @include "holders"
-- As holders_of, by one command where nobody holds the lock beside others.
local function held_of(lock)
  local alone = redis.pcall('GET', lock)
  if type(alone) == 'table' then return holders_of(lock) end
  return { lock = lock, alone = alone or nil }
end

-- The token of this id's lease or vote; nil when it has none.
local function token_at(held, id)
  if held.alone then return owns(held.alone, id) and token_of(held.alone) or nil end
  local value = held.limit and redis.call('HGET', held.lock, id)
  return value and (read_lease(value)) or nil
end
