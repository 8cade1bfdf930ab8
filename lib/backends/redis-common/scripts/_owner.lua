-- A held lock's value is '<id> <token>'.
local function owns(held, id)
  return held and string.sub(held, 1, #id + 1) == id .. ' '
end

local function token_of(held)
  return tonumber(string.match(held, '%d+$'))
end
