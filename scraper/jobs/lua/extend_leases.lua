#!lua flags=allow-oom
-- Extend a worker's leases and tell which of its jobs are no longer worked on.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 lease ms, 3.. jobs held
-- Reply   {1 extended | 0 the worker is not known any more: its leases are lost, gone jobs}
local alive = 0
if call('ZSCORE', P .. 'workers', ARGV[1]) then
  call('ZADD', P .. 'workers', 'XX', NOW + tonumber(ARGV[2]), ARGV[1])
  alive = 1
end
expire_jobs(8)
local gone = {}
for i = 3, #ARGV do
  local state = call('HGET', job_key(ARGV[i]), 'state')
  if not state or FINAL[state] or state == 'delayed' then gone[#gone + 1] = ARGV[i] end
end
return {alive, gone}
