-- Asks for several locks, all of them or none. Idempotent by the ids: asked again it answers the same
-- grants. None of them queues.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each request
-- ARGV  1 run id of the server, or '' for no guard  2 server time (ms) after which nobody wants this
--       any more, then for each request id and terms, as in _terms.lua
-- Reply {now, 'late'}      too late: nothing was done
--       {now, 'stranger'}  the process has to enter first: nothing was done
--       or now, the longest ttl that a live lease may have, as far as it is known, then
--       a token for each        all are granted
--       {'busy', index}         one of them is held, or waited for: nothing was done; with the limit of
--                               those who use it, when that is another than was asked for
--       {'grace', ms left of it}
-- Cost  TIME, SET (sequence), then TYPE, EXISTS and SET each, when nobody holds a lock and nobody waits
--- @include "clock"
--- @include "guard"
--- @include "holders"
--- @include "hand-off"
--- @include "limit"
--- @include "mint"
local sequence, guard, run, not_after = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
if now > not_after then return { now, 'late' } end

local asked, longest_asked = {}, 0
for index = 1, (#KEYS - 2) / 3 do
  local ttl, kind = read_terms(ARGV[2 * index + 2])
  asked[index] = { key = 3 * index, id = ARGV[2 * index + 1], ttl = ttl, kind = kind }
  longest_asked = math.max(longest_asked, ttl)
end
local state, grace, longest = guarded(guard, run, longest_asked)
if state == 'stranger' then return { now, state } end

for index, one in ipairs(asked) do
  one.held = holders_of(KEYS[one.key])
  one.token, one.left = lease_of(one.held, one.id)
  if not one.token then
    local queue, deadlines = KEYS[one.key + 1], KEYS[one.key + 2]
    if redis.call('EXISTS', queue) == 1 then drop_dead(queue, deadlines) end
    if not fits(one.held, one.kind) or redis.call('EXISTS', queue) == 1 then
      return { now, longest, { 'busy', index, other_limit(one.held, queue, one.kind) } }
    end
    if state == 'grace' then return { now, longest, { state, grace } } end
  end
end

local answers, next_token = { now, longest }, nil
for index, one in ipairs(asked) do
  if one.token then
    prolong(one.held, one.id, one.token, one.left, one.ttl)
  else
    next_token = next_token or mint(sequence, #asked)
    one.token = next_token
    next_token = next_token + 1
    let_in(one.held, one.id, one.kind, one.token, one.ttl)
  end
  answers[index + 2] = one.token
end
return answers
