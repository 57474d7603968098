#!lua flags=allow-oom
-- End jobs past their maxDuration: failed with finishReason `timeout`, records kept.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 how many at the most
-- Reply   how many ended
return expire_jobs(tonumber(ARGV[1]))
