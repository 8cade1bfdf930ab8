-- So many readers are named to who has to wait for all of them: enough to find one among them that a
-- majority has, where some nodes lack some.
local MOST_NAMED = 10

-- The ids of those who have a lock, also for whom it is only kept; of many the oldest.
local function named(held)
  local all = all_of(held)
  table.sort(all, function(one, other) return one[2] < other[2] end)
  local ids = {}
  for index = 1, math.min(#all, MOST_NAMED) do ids[index] = all[index][1] end
  return table.concat(ids, ' ')
end
