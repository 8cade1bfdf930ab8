local function limit_of_first(queue)
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if not first then return nil end
  local _, kind = read_terms(string.match(first, ' (.*)'))
  return limit_of(kind)
end

-- The limit of those who wait. Who is dead stands in nobody's way.
local function limit_of_waiters(queue, deadlines, asked)
  local limit = limit_of_first(queue)
  if limit == asked then return limit end
  drop_dead(queue, deadlines)
  return limit_of_first(queue)
end

-- How many may hold the lock, as those see it who use it now; what is asked for when nobody does.
local function limit_in_use(held, waited_for, queue, deadlines, kind)
  local limit = limit_of(kind)
  return held.alone and 1 or held.limit
    or waited_for and limit_of_waiters(queue, deadlines, limit) or limit
end
