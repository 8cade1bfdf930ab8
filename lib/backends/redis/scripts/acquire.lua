-- Asks for many locks. Each request is idempotent by id: asked again it answers the same grant, or
-- the same place.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each request
-- ARGV  1 run id of the server, or '' for no guard  2 address of the waiters  3 how long a waiter
--       lives without a sign (ms)  4 server time (ms) after which nobody wants this any more, or 0
--       5 a line for each request: id, whether to queue (1 or 0), how many tokens to reserve, and the
--       terms as in _terms.lua: of one that is to hold alone the ttl (ms). As one argument: what a
--       client does for each costs more than to take them apart here
-- Reply {now, 'late'}      too late: nothing was done
--       {now, 'stranger'}  the process has to enter first: nothing was done
--       or now, the longest ttl that a live lease may have, as far as it is known, then for each
--       token                    granted, with as many tokens after it as were asked for
--       {'granted', token}       granted, with none after it
--       {'waiting', ms until the lock may be free or -1, place in the queue from 0}
--       {'busy'}, or {'busy', limit} when that of those who use the lock is another than was asked for
--       {'grace', ms left of it} whether somebody holds the lock is not known: nothing was done
--       {'failed', error}
-- Cost  TIME, EXISTS (guard), SET (sequence), then EXISTS and SET each, when nobody holds the lock and
--       nobody waits; for one that may hold beside others TIME, then TYPE, EXISTS, SET (sequence), HSET and
--       PEXPIRE each when there is nobody, and 2 HGET and PTTL instead of PEXPIRE when there are others
--- @include "clock"
local sequence, guard = KEYS[1], KEYS[2]
local run, address, liveness, not_after = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if not_after > 0 and now > not_after then return { now, 'late' } end

local ids, queueing, reserves, terms = {}, {}, {}, {}
for id, queues, reserve, asked in string.gmatch(ARGV[5], '(%S+) (%d) (%d+) ([^\n]+)') do
  local index = #ids + 1
  ids[index], queueing[index], reserves[index], terms[index] = id, queues, reserve, asked
end

local state, grace, longest = 'open', -1, 0
if run ~= '' or redis.call('EXISTS', guard) == 1 then
  --- @include "guard"
  local longest_asked = 0
  for _, asked in ipairs(terms) do
    longest_asked = math.max(longest_asked, tonumber(string.match(asked, '^%d+')))
  end
  state, grace, longest = guarded(guard, run, longest_asked)
  if state == 'stranger' then return { now, state } end
end

--- @include "mint"
-- How many tokens may be reserved: none while the sequence is ahead of the clock, or it would outrun it,
-- and tokens would fall when the sequence is lost.
local function affordable(reserve)
  return tonumber(redis.call('GET', sequence) or 0) < micros and tonumber(reserve) or 0
end

-- One token for each request, minted together when the first is granted that holds alone.
local next_token, last_token = 1, 0
local function grant(lock, id, ttl, reserve)
  local token, without
  if reserve ~= '0' then
    local tokens = affordable(reserve)
    token, without = mint(sequence, 1 + tokens), tokens == 0
  else
    if next_token > last_token then
      next_token = mint(sequence, #ids)
      last_token = next_token + #ids - 1
    end
    token = next_token
    next_token = next_token + 1
  end
  local text = token == micros and micros_text or string.format('%.0f', token)
  redis.call('SET', lock, id .. ' ' .. text, 'PX', ttl)
  return without and { 'granted', token } or token
end

local answers, contended = { now, longest }, nil
-- Behind one that may hold beside others, who may want the same lock, all take their turn below.
local alone = true
for index, id in ipairs(ids) do
  local key, ttl = 3 * index, terms[index]
  alone = alone and not string.find(ttl, ' ', 1, true)
  if alone and state == 'open' and redis.call('EXISTS', KEYS[key], KEYS[key + 1]) == 0 then
    answers[index + 2] = grant(KEYS[key], id, ttl, reserves[index])
  else
    contended = contended or {}
    contended[#contended + 1] = index
    answers[index + 2] = 0
  end
end
if not contended then return answers end

--- @include "owner"
--- @include "each"
-- Puts a waiter in the queue, or finds it there; `free_in` is when somebody may be let in, in ms.
local function stand(queue, deadlines, waiter, free_in)
  if not redis.call('ZSCORE', queue, waiter) then
    local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
    redis.call('ZADD', queue, math.max(last + 1, micros), waiter)
  end
  redis.call('ZADD', deadlines, now + liveness, waiter)
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
  return { 'waiting', math.max(free_in, grace), redis.call('ZRANK', queue, waiter) }
end

-- Asks for a lock that one holds alone, which is soon done; nothing for any other.
local function acquire_behind_one(index)
  local lock = KEYS[3 * index]
  if redis.call('TYPE', lock).ok ~= 'string' then return nil end
  local id = ids[index]
  local held = redis.call('GET', lock)
  local ttl, limit = string.match(terms[index], '^(%d+) ?(%d*)')
  local left = redis.call('PTTL', lock)
  if owns(held, id) then
    -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
    if left < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    return { 'granted', token_of(held) }
  end
  if queueing[index] == '0' then return { 'busy', limit ~= '' and 1 or nil } end
  return stand(KEYS[3 * index + 1], KEYS[3 * index + 2], id .. ' ' .. terms[index], left)
end

local others = {}
for _, index in ipairs(contended) do
  local answer = each_alone(acquire_behind_one, index)
  answers[index + 2] = answer or 0
  if not answer then others[#others + 1] = index end
end
if #others == 0 then return answers end

--- @include "holders"
--- @include "hand-off"
--- @include "limit"
local function acquire(index)
  local lock, queue, deadlines = KEYS[3 * index], KEYS[3 * index + 1], KEYS[3 * index + 2]
  local id, reserve = ids[index], reserves[index]
  local ttl, kind = read_terms(terms[index])

  local held = holders_of(lock)
  local token, left = lease_of(held, id)
  if token then
    prolong(held, id, token, left, ttl)
    return { 'granted', token }
  end

  local waiter = id .. ' ' .. terms[index]
  local room = fits(held, kind)
  if room and state == 'open' then
    -- A lease may have ended by itself: those who wait come first.
    local through = true
    if redis.call('EXISTS', queue) == 1 then
      token, through = hand_off(held, queue, deadlines, sequence, address, waiter)
      if token then return { 'granted', token } end
    end
    if through and fits(held, kind) then
      -- Not one of those minted together: of the same lock there may be greater ones by now.
      local tokens = reserve == '0' and 0 or affordable(reserve)
      token = mint(sequence, 1 + tokens)
      let_in(held, id, kind, token, ttl)
      return tostring(tokens) == reserve and token or { 'granted', token }
    end
  end

  if queueing[index] == '0' then
    if room and state == 'grace' then return { state, grace } end
    return { 'busy', other_limit(held, queue, kind) }
  end

  return stand(queue, deadlines, waiter, free_in(held))
end

for _, index in ipairs(others) do answers[index + 2] = each_alone(acquire, index) end
return answers
