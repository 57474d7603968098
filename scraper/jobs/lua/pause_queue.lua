#!lua
-- Pause ("1") or resume ("0") the whole queue: while paused no page is leased.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 "1" or "0", 2 pools to wake on resume (JSON)
-- Reply   1 when that changed something
local before = call('HGET', META, 'paused') == '1' and '1' or '0'
if before == ARGV[1] then return 0 end
if ARGV[1] == '1' then
  call('HSET', META, 'paused', '1')
else
  call('HDEL', META, 'paused')
  for _, pool in ipairs(cjson.decode(ARGV[2])) do wake_workers(pool, 1000) end
end
return 1
