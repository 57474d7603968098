#!lua flags=allow-oom
-- Give back what a worker holds here without knowing of it, uncharged: after a fail-over or a
-- restart the server may have forgotten the commits that ended these leases.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2.. tokens that the worker knows
-- Reply   how many leases were given back (0 when repeated)
local known = {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local released = 0
for _, token in ipairs(call('HKEYS', leases_key(ARGV[1]))) do
  local packed = not known[token] and call('HGET', leases_key(ARGV[1]), token)
  if packed then
    local lease = lease_unpack(packed)
    page_release(ARGV[1], token, lease)
    finish_if_done(job_load(lease.job), ARGV[1])
    released = released + 1
  end
end
return released
