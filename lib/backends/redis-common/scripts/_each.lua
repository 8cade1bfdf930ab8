-- The rule for errors in a script: what is wrong with one key answers for that key, as {'failed', error},
-- and must not stop the others of a call; what is wrong with the server fails the call, for those to ask
-- again who may. Of a key are a value of another kind, one that is not what we wrote, at which the
-- script itself stumbles, and a command without the right to it, which others need not use.
local OF_A_KEY = {
  'WRONGTYPE', 'attempt to ', 'bad argument', 'ACL failure', 'user executing the script',
}

local function each_alone(step, ...)
  local fine, answer = pcall(step, ...)
  if fine then return answer end
  local message = type(answer) == 'table' and answer.err or answer
  for _, sign in ipairs(OF_A_KEY) do
    if string.find(message, sign, 1, true) then return { 'failed', message } end
  end
  error(answer, 0)
end
