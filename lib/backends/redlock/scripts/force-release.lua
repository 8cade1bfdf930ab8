-- Ends all leases and votes that there are for a lock at this node, tells those who had them, and
-- those who are first of who waits that it is free. No repair brings back what was ended.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 guard
-- ARGV  1 prefix of the names that say what was ended  2 channel prefix  3 mark by which the
--       messages of all nodes are known to be one  4 run id of the node
-- Reply 'open', or 'grace' when there may have been others that the node forgot, then the ids;
--       or {'stranger'}  the process has to enter first: nothing was done
--- @include "clock"
--- @include "held"
--- @include "guard"
--- @include "tell"
--- @include "queue"
local lock, queue, deadlines, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended, channel, mark, run = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local state, _, longest = guarded(guard, run)
local answer = { state }
if state == 'stranger' then return answer end
local held, tell = held_of(lock), teller('ordinary ' .. channel)
local all = all_of(held)
free(held)
for index, lease in ipairs(all) do
  local id, left = lease[1], lease[3]
  answer[index + 1] = id
  redis.call('SET', ended .. id, 1, 'PX', math.max(1, left, longest))
  tell(process_of(id), 'lost ' .. id .. ' ' .. mark)
end
if state == 'open' then tell_first(held, queue, deadlines, channel, nil, true) end
return answer
