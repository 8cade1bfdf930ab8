-- Who holds a lock, and who waits for it. Changes nothing but what is over.
--
-- KEYS  1 lock  2 queue  3 deadlines
-- ARGV  1 how many waiters to show
-- Reply {now, limit or 0 when it is held alone or not at all, {id, token, ms left, …} for each holder,
--        number of waiters, '<id> <terms>' and ticket (µs) of the first of them in turn}
--- @include "clock"
--- @include "holders"
local lock, queue, deadlines, most = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])

local dead = {}
local over = redis.call('ZRANGEBYSCORE', deadlines, '-inf', now)
for _, waiter in ipairs(over) do dead[waiter] = true end
local shown = {}
local members = redis.call('ZRANGE', queue, 0, most + #over - 1, 'WITHSCORES')
for index = 1, #members, 2 do
  if not dead[members[index]] and #shown < 2 * most then
    shown[#shown + 1] = members[index]
    shown[#shown + 1] = members[index + 1]
  end
end

local held = holders_of(lock)
local waiters = redis.call('ZCOUNT', deadlines, '(' .. now, '+inf')
return { now, held.limit or 0, all_of(held), waiters, shown }
