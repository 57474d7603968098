#!lua flags=allow-oom
-- Delete a job with its records. An unfinished one must be cancelled first.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id
-- Reply   the state before (not final: nothing was removed), or "" when there is no such job
local state = call('HGET', job_key(ARGV[1]), 'state')
if not state then return '' end
if FINAL[state] then job_remove(ARGV[1]) end
return state
