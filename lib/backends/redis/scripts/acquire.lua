-- Asks for many locks. Each request is idempotent by id: asked again it answers the same grant, or
-- the same place.
--
-- KEYS  1 sequence  2 guard, then lock, queue and deadlines for each request
-- ARGV  1 server time (ms) after which nobody wants this any more, or 0  2 address of the waiters
--       3 how long a waiter lives without a sign (ms)  4 run id of the server, or '' for no guard,
--       then for each request id, ttl (ms), whether to queue (1 or 0), and how many tokens to reserve
-- Reply {now, 'late'}      too late: nothing was done
--       {now, 'stranger'}  the process has to enter first: nothing was done
--       or now, the longest ttl that a live lease may have, as far as it is known, then for each
--       token                    granted, with as many tokens after it as were asked for
--       {'granted', token}       granted, with none after it
--       {'waiting', ms until the lock may be free, place in the queue from 0}
--       {'busy'}
--       {'grace', ms left of it} whether somebody holds the lock is not known: nothing was done
--       {'failed', error}
-- Cost  TIME, SET (sequence), then EXISTS and SET each, when nobody holds the lock and nobody waits
--- @include "clock"
local sequence, guard = KEYS[1], KEYS[2]
local not_after, address, liveness, run = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
if not_after > 0 and now > not_after then return { now, 'late' } end

local state, grace, longest = 'open', 0, 0
if run ~= '' then
  --- @include "guard"
  local longest_asked = 0
  for index = 6, #ARGV, 4 do longest_asked = math.max(longest_asked, tonumber(ARGV[index])) end
  state, grace, longest = guarded(guard, run, longest_asked)
  if state == 'stranger' then return { now, state } end
end

--- @include "mint"
-- One token for each request, minted together when the first is granted.
local next_token, last_token = 1, 0
local function grant(lock, id, ttl, reserve)
  local token
  if reserve ~= '0' then
    token = mint(sequence, 1 + tonumber(reserve))
  else
    if next_token > last_token then
      local count = (#KEYS - 2) / 3
      next_token = mint(sequence, count)
      last_token = next_token + count - 1
    end
    token = next_token
    next_token = next_token + 1
  end
  local text = token == micros and micros_text or string.format('%.0f', token)
  redis.call('SET', lock, id .. ' ' .. text, 'PX', ttl)
  return token
end

local answers, contended = { now, longest }, nil
for index = 1, (#KEYS - 2) / 3 do
  local key, argument = 3 * index, 4 * index + 1
  if state == 'open' and redis.call('EXISTS', KEYS[key], KEYS[key + 1]) == 0 then
    answers[index + 2] = grant(KEYS[key], ARGV[argument], ARGV[argument + 1], ARGV[argument + 3])
  else
    contended = contended or {}
    contended[#contended + 1] = index
    answers[index + 2] = 0
  end
end
if not contended then return answers end

--- @include "owner"
--- @include "hand-off"
--- @include "each"
local function acquire(index)
  local lock, queue, deadlines = KEYS[3 * index], KEYS[3 * index + 1], KEYS[3 * index + 2]
  local id, ttl, queues, reserve = unpack(ARGV, 4 * index + 1, 4 * index + 4)

  local held = redis.call('GET', lock)
  if owns(held, id) then
    -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
    if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
    return { 'granted', token_of(held) }
  end

  local waiter = id .. ' ' .. ttl
  if not held and state == 'open' then
    -- The holder's lease has ended by itself: those who wait come first.
    local next, token = hand_off(lock, queue, deadlines, sequence, address, waiter)
    if next == waiter then return { 'granted', token } end
    if not next then return grant(lock, id, ttl, reserve) end
  end

  if queues == '0' then
    if state == 'grace' and not held then return { state, grace } end
    return { 'busy' }
  end

  if not redis.call('ZSCORE', queue, waiter) then
    local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
    redis.call('ZADD', queue, last + 1, waiter)
  end
  redis.call('ZADD', deadlines, now + liveness, waiter)
  redis.call('PEXPIRE', queue, liveness)
  redis.call('PEXPIRE', deadlines, liveness)
  return { 'waiting', math.max(redis.call('PTTL', lock), grace), redis.call('ZRANK', queue, waiter) }
end

for _, index in ipairs(contended) do answers[index + 2] = each_alone(acquire, index) end
return answers
