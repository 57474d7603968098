#!lua flags=allow-oom
-- Cancel a job: its leases are void at once, its records stay.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id
-- Reply   the state before (a final one: nothing changed), or "" when there is no such job
local state = call('HGET', job_key(ARGV[1]), 'state')
if not state then return '' end
if not FINAL[state] then job_finish(job_load(ARGV[1]), 'cancelled', 'cancelled') end
return state
