-- Who has a lock at this node, and who waits for it. Changes nothing but what is over.
--
-- KEYS  1 lock  2 queue  3 deadlines
-- ARGV  1 how many waiters to show
-- Reply {now, 1 when they hold it beside each other, {id, token, ms left, …} for each, number of
--        waiters, '<id> <terms>' and ticket (µs) of the first of them in turn}
--- @include "clock"
--- @include "held"
--- @include "queue"
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
  local waiter = waiter_of(lease[1], held.limit and 's' or '')
  if tonumber(redis.call('ZSCORE', deadlines, waiter) or 0) > now then
    hide(waiter)
    waiters = waiters - 1
  end
end

local members = redis.call('ZRANGE', queue, 0, most + hidden, 'WITHSCORES')
-- The first of those who wait for a free lock are on their way to it: one, or the readers up to a
-- writer, also to join those who read.
local free_for_writers, free_for_readers = #all == 0, not held.alone
local shown = {}
for index = 1, #members, 2 do
  local waiter = members[index]
  local reads = string.find(waiter, ' s', 1, true)
  local leaves = free_for_writers or (reads and free_for_readers)
  if passed_over[waiter] then
    -- Not one of those who wait.
  elseif leaves then
    free_for_writers, free_for_readers = false, reads
    waiters = waiters - 1
  else
    free_for_writers, free_for_readers = false, false
    if #shown < 2 * most then
      shown[#shown + 1] = waiter
      shown[#shown + 1] = members[index + 1]
    end
  end
end
return { now, held.limit or 0, all, math.max(0, waiters), shown }
