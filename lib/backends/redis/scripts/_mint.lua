-- Mints so many fencing tokens in a row, and returns the first: max(last + 1, the server's clock in
-- microseconds). By the clock they keep rising when a failover or a restart lost the sequence, by the
-- sequence when the clock is set back. tostring() would print 1.79e+15, hence %.0f.
local function mint(sequence, count)
  local first = micros
  local text = count == 1 and micros_text or string.format('%.0f', first + count - 1)
  local last = tonumber(redis.call('SET', sequence, text, 'GET') or 0)
  if last >= first then
    first = last + 1
    redis.call('SET', sequence, string.format('%.0f', first + count - 1))
  end
  return first
end
