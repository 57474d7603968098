#!lua
-- Pause a job: no page of it is leased; those in flight are still committed; its time stops.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id
-- Reply   the state before, or "" when there is no such job
local id = ARGV[1]
local f = fields(job_key(id), 'state')
if not f[1] then return '' end
if FINAL[f[1]] or f[1] == 'paused' then return f[1] end
job_lanes_remove(id, load_place(id))
local deadline = call('ZSCORE', P .. 'deadlines', id)
local due = call('ZSCORE', P .. 'delayed', 'j ' .. id)
call('HSET', job_key(id), 'paused_from', f[1],
  'time_left_ms', deadline and math.max(1, tonumber(deadline) - NOW) or 0,
  'delay_left_ms', due and math.max(0, tonumber(due) - NOW) or 0)
call('ZREM', P .. 'deadlines', id)
call('ZREM', P .. 'delayed', 'j ' .. id)
job_move(id, f[1], 'paused')
return f[1]
