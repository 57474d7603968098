#!lua
-- Resume a paused job in the state that it had.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id
-- Reply   the state now, or "" when there is no such job
local id = ARGV[1]
local f = fields(job_key(id), 'state', 'paused_from', 'time_left_ms', 'delay_left_ms')
if not f[1] then return '' end
if f[1] ~= 'paused' then return f[1] end
local job = load_place(id)
job_move(id, 'paused', f[2])
call('HDEL', job_key(id), 'paused_from', 'time_left_ms', 'delay_left_ms')
if f[2] ~= 'active' then bound_deadline(id, job.pool, number_of(f[4])) end
if f[2] == 'delayed' then
  call('ZADD', P .. 'delayed', NOW + number_of(f[4]), 'j ' .. id)
  return 'delayed'
end
if f[2] == 'active' then call('ZADD', P .. 'deadlines', NOW + number_of(f[3]), id) end
job_lanes_ready(id, job)
finish_if_done(job_load(id))
return call('HGET', job_key(id), 'state')
