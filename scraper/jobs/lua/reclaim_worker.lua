#!lua flags=allow-oom
-- Take back all that a dead or leaving worker holds, at once and uncharged, and forget it.
-- KEYS[1] string `{queue}:meta`
-- ARGV    worker instances
-- Reply   how many leases came back (0 when repeated)
local pages = 0
for i = 1, #ARGV do pages = pages + worker_reclaim(ARGV[i]) end
return pages
