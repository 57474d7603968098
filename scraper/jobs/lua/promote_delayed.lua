#!lua
-- Move what time has made due: delayed jobs and pages, parked lanes, expired jobs and results.
-- Workers do the same inside their lease calls; this serves a queue without workers.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 how many of each at the most
-- Reply   how many delayed jobs and pages became ready
local bound = tonumber(ARGV[1])
expire_jobs(bound)
wake_due_hosts(bound)
remove_expired(bound)
return promote_delayed(bound)
