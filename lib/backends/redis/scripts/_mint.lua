-- Mints a fencing token: max(last + 1, the server's clock in microseconds). By the clock it keeps
-- rising when a failover or a restart lost the sequence, by the sequence when the clock is set back.
-- tostring() would print 1.79e+15, hence %.0f.
local function mint(sequence)
  local token = micros
  local last = tonumber(redis.call('SET', sequence, string.format('%.0f', token), 'GET') or 0)
  if last >= token then
    token = last + 1
    redis.call('SET', sequence, string.format('%.0f', token))
  end
  return token
end
