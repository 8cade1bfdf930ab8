-- Asks one node for its vote. Idempotent by id: asked again it gives the same vote, or the same place.
-- A free lock is voted only to the first of those who wait here, so that the votes of all nodes go
-- to the same one.
--
-- KEYS  1 lock  2 queue  3 deadlines  4 sequence  5 guard
-- ARGV  1 id  2 ttl (ms)  3 time of this node (ms) after which nobody wants this any more, or 0
--       4 proposal: the least token and ticket to give  5 ticket that other nodes gave, or 0
--       6 whether to queue: 1 or 0  7 channel prefix  8 how long a waiter lives without a sign (ms)
--       9 run id of the node
-- Reply {'granted', now, token}
--       {'waiting', now, ms until the lock may be free or -1, who has it or is the first to get it, ticket}
--       {'busy', now, the same two}
--       {'late', now}  too late: nothing was done
--       {'stranger', now}  the process has to enter first: nothing was done
--       In a grace the node has no vote: nobody ('-') has the lock, and it is not given.
--- @include "clock"
--- @include "owner"
--- @include "guard"
--- @include "queue"
local lock, queue, deadlines, sequence, guard = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, ttl, not_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local proposal, ticket, queues = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local channel, liveness, run = ARGV[7], tonumber(ARGV[8]), ARGV[9]

if not_after > 0 and now > not_after then return { 'late', now } end
local state, grace = guarded(guard, run, tonumber(ttl))
if state == 'stranger' then return { state, now } end

local held = redis.call('GET', lock)
if owns(held, id) then
  -- Never shorter: this may be a late copy of a request whose lease was renewed for longer since.
  if redis.call('PTTL', lock) < tonumber(ttl) then redis.call('PEXPIRE', lock, ttl) end
  return { 'granted', now, token_of(held) }
end

local who = '-'
if held then
  who = string.match(held, '(%S+) %d+$')
elseif state == 'open' then
  local first = tell_first(queue, deadlines, channel, id)
  if not first or first == id then
    local token = math.max(tonumber(redis.call('GET', sequence) or 0) + 1, proposal)
    redis.call('SET', sequence, string.format('%.0f', token))
    redis.call('SET', lock, id .. ' ' .. string.format('%.0f', token), 'PX', ttl)
    if first then
      redis.call('ZREM', queue, id)
      redis.call('ZREM', deadlines, id)
    end
    return { 'granted', now, token }
  end
  who = first
end
local left = math.max(redis.call('PTTL', lock), grace > 0 and grace or -1)
if not queues then return { 'busy', now, left, who } end

local mine = redis.call('ZSCORE', queue, id)
if not mine then
  local last = tonumber(redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0)
  -- Whoever has a place at other nodes has it here as well: this one was away, or forgot it.
  mine = ticket > 0 and ticket or math.max(last + 1, proposal)
  redis.call('ZADD', queue, string.format('%.0f', mine), id)
elseif tonumber(mine) < ticket then
  mine = ticket
  redis.call('ZADD', queue, string.format('%.0f', mine), id)
end
give_sign(queue, deadlines, id, liveness)
return { 'waiting', now, left, who, tonumber(mine) }
