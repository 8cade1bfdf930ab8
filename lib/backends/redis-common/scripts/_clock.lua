-- The server's clock, read once: micros (for tokens; as text as well) and now (milliseconds).
local time = redis.call('TIME')
local micros_text = time[1] .. string.sub('000000', #time[2] + 1) .. time[2]
local micros = tonumber(micros_text)
local now = math.floor(micros / 1000)
