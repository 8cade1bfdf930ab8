-- Gives many leases at least so much more life. Never creates one, and never shortens one: this may
-- be a late copy of a renewal after which a longer one was answered.
--
-- KEYS  a lock each
-- ARGV  id and ttl (ms) each
-- Reply 1 or 0 each: renewed, or not (any more) the owner's
-- Cost  GET, PTTL, PEXPIRE each
--- @include "owner"
local renewed = {}
for index, lock in ipairs(KEYS) do
  local id, ttl = ARGV[2 * index - 1], ARGV[2 * index]
  renewed[index] = 0
  if owns(redis.call('GET', lock), id) then
    if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    renewed[index] = 1
  end
end
return renewed
