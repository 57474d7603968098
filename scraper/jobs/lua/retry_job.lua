#!lua
-- Run a finished job again: what is left and what failed, or the failed pages only.
-- Recorded pages stay recorded. A delayed job starts now.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job id, 2 "1" for the failed pages only
-- Reply   the state before; "" no such job; "nothing" when nothing is left to run
local id = ARGV[1]
local f = fields(job_key(id), 'state', 'customer', 'priority', 'left', 'done', 'max_pages', 'failed',
  'start_url', 'start_recorded')
if not f[1] then return '' end
if f[1] == 'delayed' then
  call('ZREM', P .. 'delayed', 'j ' .. id)
  job_wake(id)
  return 'delayed'
end
if not FINAL[f[1]] then return f[1] end
if number_of(f[5]) >= number_of(f[6]) then return 'nothing' end
local is_failed_only = ARGV[2] == '1'
local left = number_of(f[4])
local start_skipped = not f[9] and page_get(id, f[8]).state == 's'
if number_of(f[7]) == 0 and not start_skipped and (is_failed_only or left == 0) then
  return 'nothing'
end
local job = load_place(id)
-- Who waited for a foreground job (pool `@<id>`) has its result: any worker of its type may run it.
job.pool = call('HGET', job_key(id), 'type')

-- Calls `act(url, page)` for each page that was open when the job ended (HSCAN may name one twice).
local function each_left(act)
  local cursor, seen = '0', {}
  repeat
    local batch = call('HSCAN', pages_key(id), cursor, 'COUNT', 1000)
    cursor = batch[1]
    for i = 1, #batch[2], 2 do
      local url, page = batch[2][i], page_unpack(batch[2][i + 1])
      if not seen[url] and string.find('qwlo', page.state, 1, true) then
        seen[url] = true
        act(url, page)
      end
    end
  until cursor == '0'
end

if left > 0 then
  if is_failed_only then
    -- Set apart, or they would pass for pages that wait in a lane.
    each_left(function(url, page) page_set(id, url, 'o', page, page.note) end)
  else
    local back = 0
    each_left(function(url, page)
      back = back + 1
      page_requeue(id, job, url, page, nil)
    end)
    count(id, 'known', back)
    call('HSET', job_key(id), 'left', 0)
  end
end
requeue_failed(id, job, true)
if number_of(call('HGET', job_key(id), 'queued')) == 0 then return 'nothing' end
call('ZREM', P .. 'finished', id)
call('ZREM', P .. 'expiries', id)
call('HINCRBY', P .. 'open_jobs', f[3] .. ':' .. f[2], 1)
call('HDEL', job_key(id), 'finished_at', 'finish_reason', 'error', 'starved')
call('HSET', job_key(id), 'attempt', 0, 'fetches', 0, 'pool', job.pool)
job_move(id, f[1], 'waiting')
job_lanes_ready(id, job)
emit('jobRetried', id, f[2], {attempt = 0, delay = 0})
return f[1]
