-- The limit of those who hold the lock, or of the first who waits where nobody does, if one of this kind
-- has another; nil else. Those who are dead must have been dropped.
local function other_limit(held, queue, kind)
  local used = held.alone and 1 or held.limit
  local first = not used and redis.call('ZRANGE', queue, 0, 0)[1]
  if first then
    local _, its_kind = read_terms(string.match(first, ' (.*)'))
    used = limit_of(its_kind)
  end
  return used ~= limit_of(kind) and used or nil
end
