#!lua flags=allow-oom
-- Give leases back unharmed: their pages are queued again in front, no attempt charged.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2.. tokens
-- Reply   how many were still held (a void token is a normal race)
local released = 0
for i = 2, #ARGV do
  local packed = call('HGET', leases_key(ARGV[1]), ARGV[i])
  if packed then
    local lease = lease_unpack(packed)
    page_release(ARGV[1], ARGV[i], lease)
    finish_if_done(job_load(lease.job), ARGV[1])
    released = released + 1
  end
end
return released
