-- Who has a lock at this node, and who waits for it. Changes nothing but what is over.
--
-- KEYS  1 lock  2 queue  3 deadlines
-- ARGV  1 how many waiters to show
-- Reply {now, 1 when they hold it beside each other, {id, token, ms left, …} for each, number of
--        waiters, '<id> <terms>' and ticket (µs) of the first of them in turn}
--- @include "clock"
--- @include "held"
local lock, queue, deadlines, most = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])

local held = held_of(lock)
local all = all_of(held)
local waiters = redis.call('ZCOUNT', deadlines, '(' .. now, '+inf')
local passed_over, hidden = {}, 0
local function hide(waiter)
  passed_over[waiter] = true
  hidden = hidden + 1
end
for _, waiter in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now)) do hide(waiter) end
for _, lease in ipairs(all) do
  -- Where others voted for it, it may still stand in the queue.
  if tonumber(redis.call('ZSCORE', deadlines, lease[1]) or 0) > now then
    hide(lease[1])
    waiters = waiters - 1
  end
end

local members = redis.call('ZRANGE', queue, 0, most + hidden, 'WITHSCORES')
-- The first of those who wait for a free lock is on its way to it.
local leaves = #all == 0
local shown = {}
for index = 1, #members, 2 do
  if passed_over[members[index]] then
    -- Not one of those who wait.
  elseif leaves then
    leaves = false
    waiters = waiters - 1
  elseif #shown < 2 * most then
    shown[#shown + 1] = members[index]
    shown[#shown + 1] = members[index + 1]
  end
end
return { now, held.limit or 0, all, math.max(0, waiters), shown }
