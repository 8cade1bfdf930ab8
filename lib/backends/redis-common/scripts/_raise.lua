-- Makes sure that every token from now on is greater than this one.
local function raise(sequence, token)
  if tonumber(redis.call('GET', sequence) or 0) < token then
    redis.call('SET', sequence, string.format('%.0f', token))
  end
end
