-- Makes room for one that asserts a lease with this token, if those in its way have smaller ones.
local function make_room(held, kind, token)
  if fits(held, kind) then return true end
  local oldest, greatest
  for _, lease in ipairs(all_of(held)) do
    if not oldest or lease[2] < oldest[2] then oldest = lease end
    if not greatest or lease[2] > greatest[2] then greatest = lease end
  end
  if kind ~= '' and held.limit == limit_of(kind) then
    if oldest[2] >= token then return false end
    end_lease(held, oldest[4], oldest[3])
    return true
  end
  if not greatest or greatest[2] >= token then return false end
  free(held)
  return true
end
