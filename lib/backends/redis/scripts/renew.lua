-- Sets the remaining life of many leases. Never creates one.
--
-- KEYS  a lock each
-- ARGV  id and ttl (ms) each
-- Reply 1 or 0 each: renewed, or not (any more) the owner's
-- Cost  GET, PEXPIRE each
--- @include "owner"
local renewed = {}
for index, lock in ipairs(KEYS) do
  local id, ttl = ARGV[2 * index - 1], ARGV[2 * index]
  renewed[index] = owns(redis.call('GET', lock), id) and redis.call('PEXPIRE', lock, ttl) or 0
end
return renewed
