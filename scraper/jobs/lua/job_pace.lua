#!lua
-- How fast a job is now, when it will be through, and what holds it up. Changes nothing.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id
-- Reply   JSON {rate (pages/s of late), eta (ms), slow {reason, host, delay, wait}}, each absent
--         when it cannot be told; "" no such job, or one that has ended
local job = job_load(ARGV[1])
if not job or FINAL[job.state] then return '' end
local f = fields(job_key(job.id), 'host_limit', 'host_delay_ms', 'pace', 'rate', 'start_url', 'memory',
                 'pool')

-- Why no page of it is taken at all. A foreground job's workers come with it.
local function kept_waiting()
  if call('HGET', META, 'paused') == '1' then return {reason = 'queue_paused'} end
  if string.sub(f[7], 1, 1) == '@' then return nil end
  local alive = call('ZRANGEBYSCORE', P .. 'workers', NOW, '+inf', 'LIMIT', 0, 1)
  if #alive == 0 then return {reason = 'no_worker'} end
end

local host = call('SRANDMEMBER', hosts_key(job.id)) or host_of(f[5])
local slow = kept_waiting() or held_up_by(job, host, f)
if not slow and f[6] and string.find(f[6], '"relief"', 1, true) then slow = {reason = 'memory'} end
local rate = number_of(f[4])
return cjson.encode({rate = rate, eta = eta_of(job, rate, slow), slow = slow})
