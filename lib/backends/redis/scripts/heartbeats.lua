-- The heartbeats of many buckets that one node of a Cluster has, each as heartbeat.lua takes it. The first
-- thing that this one reads is a key that is never there: where the slot is being moved, that fails.
--
-- KEYS  1 any key of this node; those of the buckets are in many slots, and so are not declared
-- ARGV  for each bucket how many keys and how many arguments, then these
-- Reply for each its reply, or {'failed', error}: then it is to be asked for by itself
local function heartbeat(KEYS, ARGV)
--- @include "heartbeat"
end

local function slice(first, count)
  local part = {}
  for index = 1, count do part[index] = ARGV[first + index - 1] end
  return part
end

local answers, next = {}, 1
while next <= #ARGV do
  local keys, args = tonumber(ARGV[next]), tonumber(ARGV[next + 1])
  local fine, answer = pcall(heartbeat, slice(next + 2, keys), slice(next + 2 + keys, args))
  -- What is wrong may be wrong with this slot alone, as it moves: asked by itself it says so.
  answers[#answers + 1] = fine and answer
    or { 'failed', type(answer) == 'table' and answer.err or answer }
  next = next + 2 + keys + args
end
return answers
