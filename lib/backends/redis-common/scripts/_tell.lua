-- What sends messages to processes, and says whether anybody heard them. `address` is
-- '<delivery> <channel prefix>': 'ordinary' by PUBLISH, 'sharded' by SPUBLISH, 'broadcast' by PUBLISH on
-- a Cluster. There it reaches who listens at any node but counts who listens at this one: so nothing is
-- said unless somebody does, or a process would hear of a grant that did not come about.
local function teller(address)
  local delivery, channel = string.match(address, '^(%S+) (.*)$')
  return function(process, message)
    local heard
    if delivery == 'broadcast' then
      local listening = redis.pcall('PUBSUB', 'NUMSUB', channel .. process)[2]
      if not listening or listening == 0 then return false end
    end
    -- pcall: who lacks the right to publish is found out late, and not served wrongly.
    if delivery == 'sharded' then heard = redis.pcall('SPUBLISH', channel .. process, message)
    else heard = redis.pcall('PUBLISH', channel .. process, message) end
    return type(heard) == 'number' and heard > 0
  end
end

-- An id is '<process>:<number>'.
local function process_of(id)
  return string.match(id, '^[^:]*')
end
