-- What sends messages to processes. `address` is '<delivery> <channel prefix>': 'ordinary' by PUBLISH,
-- 'sharded' by SPUBLISH. A message also reaches who listens at a replica, or at another node of the
-- Cluster, though only those are counted who listen here: so nothing is said before it is known that
-- somebody does, or a process would hear of a grant that did not come about.
-- Returns what tells whether a process listens here, and what sends a message to one that does and
-- says whether it was heard. pcall: who lacks a right is found out late, and not served wrongly.
local function messenger(address)
  local delivery, channel = string.match(address, '^(%S+) (.*)$')
  local sharded = delivery == 'sharded'

  local function listens(process)
    local count = sharded and redis.pcall('PUBSUB', 'SHARDNUMSUB', channel .. process)
      or redis.pcall('PUBSUB', 'NUMSUB', channel .. process)
    return (count[2] or 0) > 0
  end

  local function say(process, message)
    local heard = sharded and redis.pcall('SPUBLISH', channel .. process, message)
      or redis.pcall('PUBLISH', channel .. process, message)
    return type(heard) == 'number' and heard > 0
  end

  return listens, say
end

-- What does both.
local function teller(address)
  local listens, say = messenger(address)
  return function(process, message) return listens(process) and say(process, message) end
end

-- An id is '<process>:<number>', or has a trace in between.
local function process_of(id)
  return string.match(id, '^[^:]*')
end
