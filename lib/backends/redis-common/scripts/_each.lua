-- What is wrong with one key must not stop the others of a call; what is wrong with the server does.
local function each_alone(step, ...)
  local fine, answer = pcall(step, ...)
  if fine then return answer end
  local message = type(answer) == 'table' and answer.err or answer
  if not string.find(message, 'WRONGTYPE', 1, true) then error(answer, 0) end
  return { 'failed', message }
end
