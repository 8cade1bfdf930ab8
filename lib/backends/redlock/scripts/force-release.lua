-- Ends all leases and votes that there are for a lock at this node, or only those that are named, as
-- other nodes had them. Tells those who had them, and those who are first of who waits that it is free.
-- No repair brings back what was ended.
--
-- KEYS  1 guard  2 lock  3 queue  4 deadlines
-- ARGV  1 run id of the node  2 channel prefix  3 prefix of the names that say what was ended
--       4 mark by which the messages of all nodes are known to be one  5… the ids, if not all
-- Reply 'open', or 'grace' when there may have been others that the node forgot, then the ids;
--       or {'stranger'}  the process has to enter first: nothing was done
--- @include "clock"
--- @include "held"
--- @include "guard"
--- @include "queue"
local guard, lock, queue, deadlines = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local run, channel, ended, mark = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local state, _, longest = guarded(guard, run)
local answer = { state }
if state == 'stranger' then return answer end
local held = held_of(lock)
local _, say = messenger('ordinary ' .. channel)

local function finish(id, left)
  answer[#answer + 1] = id
  redis.call('SET', ended .. id, 1, 'PX', math.max(1, left, longest))
  say(process_of(id), 'lost ' .. id .. ' ' .. mark)
end

if #ARGV == 4 then
  local all = all_of(held)
  free(held)
  for _, lease in ipairs(all) do finish(lease[1], lease[3]) end
end
for index = 5, #ARGV do
  local token, left = lease_of(held, ARGV[index])
  if token then end_lease(held, ARGV[index], left) end
  finish(ARGV[index], left or 0)
end
if state == 'open' and not held.alone then tell_first(held, queue, deadlines, channel, nil, true) end
return answer
