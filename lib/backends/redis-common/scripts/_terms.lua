-- What a lease is asked for with, its terms: '<ttl>' to hold alone, '<ttl> s' to read, '<ttl> <limit>'
-- for one of so many permits; the ttl in milliseconds. What follows the ttl is the kind.
local function read_terms(terms)
  local ttl, kind = string.match(terms, '^(%d+) ?(%w*)$')
  return tonumber(ttl), kind
end

-- How many may hold at once; of readers, who are not counted, it is 1.
local function limit_of(kind)
  return tonumber(kind) or 1
end
