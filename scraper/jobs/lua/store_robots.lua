#!lua
-- Keep the robots.txt of an origin for the fleet, and the pace that it asks for with its host.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 origin, 2 its host, 3 stored file, 4 TTL ms, 5 Crawl-delay in ms (0 = none)
-- Reply   1
local ttl, delay = tonumber(ARGV[4]), tonumber(ARGV[5])
call('SET', P .. 'robots:' .. ARGV[1], ARGV[3], 'PX', ARGV[4])
host_pace(ARGV[2], ARGV[1], delay, ttl)
return 1
