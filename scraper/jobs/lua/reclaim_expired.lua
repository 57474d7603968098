#!lua flags=allow-oom
-- Take back the leases of workers whose lease time is over (lost machines).
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 how many workers at the most
-- Reply   how many leases came back
return reclaim_expired(tonumber(ARGV[1]))
