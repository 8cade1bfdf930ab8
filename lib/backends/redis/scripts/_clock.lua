-- The server's clock, read once: micros (for tokens) and now (milliseconds).
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(micros / 1000)
