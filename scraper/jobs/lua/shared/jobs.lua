-- Jobs: changing state, finishing, retrying, removing.
-- States: waiting, delayed, active, paused, completed, failed, cancelled.

local FINAL = {completed = true, failed = true, cancelled = true}

local function job_move(id, from, to)
  call('HSET', job_key(id), 'state', to)
  call('ZREM', P .. 'jobs:' .. from, id)
  call('ZADD', P .. 'jobs:' .. to, NOW, id)
end

local PER_JOB = {'', ':pages', ':hosts', ':holders', ':records', ':recorded', ':errors',
                 ':filtered', ':filtered_sample', ':suspects', ':shapes', ':sitemaps'}

-- Delete all of a finished job.
local function job_remove(id)
  local f = fields(job_key(id), 'state', 'customer', 'hook')
  if f[3] then hook_leave(id, call('HGET', job_key(id), 'spec')) end
  for _, suffix in ipairs(PER_JOB) do call('UNLINK', job_key(id) .. suffix) end
  if f[1] then call('ZREM', P .. 'jobs:' .. f[1], id) end
  if f[2] then
    call('ZREM', P .. 'customer:' .. f[2] .. ':jobs', id)
  end
  call('ZREM', P .. 'finished', id)
  call('ZREM', P .. 'expiries', id)
end

-- Retention by age and by count; `bound` jobs a call at the most.
local function remove_expired(bound)
  local due = call('ZRANGEBYSCORE', P .. 'expiries', '-inf', NOW, 'LIMIT', 0, bound)
  if #due > 0 and time_is_sure() then
    for _, id in ipairs(due) do job_remove(id) end
  end
  local surplus = call('ZCARD', P .. 'finished') - number_of(setting('finished_jobs_kept') or 10000)
  if surplus > 0 then
    for _, id in ipairs(call('ZRANGE', P .. 'finished', 0, math.min(surplus, bound) - 1)) do
      job_remove(id)
    end
  end
end

-- What a result says, for the events; records and errors are read on demand.
local function summary(job, reason)
  return {pagesScraped = job.done, failed = job.failed, skipped = job.skipped,
          totalPages = job.known, pagesLeft = job.left, finishReason = reason,
          duration = job.started_at and NOW - tonumber(job.started_at) or 0}
end

-- Void every lease of a job, whoever holds it.
local function revoke_leases(job)
  local id = job.id
  local holders = P .. 'job:' .. id .. ':holders'
  for _, worker in ipairs(call('HKEYS', holders)) do
    local flat = call('HGETALL', leases_key(worker))
    for i = 1, #flat, 2 do
      local lease = lease_unpack(flat[i + 1])
      if lease.job == id then
        call('HDEL', leases_key(worker), flat[i])
        host_leave(lease.host, {[job.host_limit] = 1})
      end
    end
  end
  call('DEL', holders)
end

local EVENT_OF = {completed = 'workerCompleted', failed = 'workerFailed', cancelled = 'jobCancelled'}

-- Upper bounds in ms of the buckets in which durations of jobs are counted, as in measures.py.
local JOB_BOUNDS = {100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 3600000}

-- Count how long an ended job took.
local function measure_job(job)
  if not job.started_at then return end
  local took, bucket = NOW - tonumber(job.started_at), 0
  while JOB_BOUNDS[bucket + 1] and took > JOB_BOUNDS[bucket + 1] do bucket = bucket + 1 end
  call('HINCRBY', P .. 'measures', 'job|' .. bucket, '1')
  call('HINCRBY', P .. 'measures', 'job|ms', whole(took))
end

-- The one way a job ends. Open pages are given up and counted as `left`. Saves the job.
local function job_finish(job, state, reason, worker, error)
  local id, before = job.id, job.state
  if job.leased > 0 then revoke_leases(job) end
  local hosts = call('SMEMBERS', hosts_key(id))
  for _, host in ipairs(hosts) do
    lane_remove(id, job, host)
    call('UNLINK', lane_key(id, host))
  end
  if #hosts > 0 then call('DEL', hosts_key(id)) end
  local left = job.queued + job.delayed + job.leased
  job_put(job, 'queued', 0)
  job_put(job, 'delayed', 0)
  job_put(job, 'leased', 0)
  if left > 0 then
    job_add(job, 'known', -left)
    job_add(job, 'left', left)
  end
  if error then job_put(job, 'error', error) end
  job_put(job, 'state', state)
  job_put(job, 'finished_at', NOW)
  job_put(job, 'finish_reason', reason)
  job_save(job)
  call('ZREM', P .. 'jobs:' .. before, id)
  call('ZADD', P .. 'jobs:' .. state, NOW_TEXT, id)
  call('ZREM', P .. 'deadlines', id)
  if before == 'delayed' then call('ZREM', P .. 'delayed', 'j ' .. id) end
  call('ZADD', P .. 'finished', NOW_TEXT, id)
  call('ZADD', P .. 'expiries', NOW + job.result_ttl_ms, id)
  local field = job.priority .. ':' .. job.customer
  if call('HINCRBY', P .. 'open_jobs', field, '-1') <= 0 then
    call('HDEL', P .. 'open_jobs', field)
    call('HDEL', P .. 'turns', field)
  end
  if string.sub(job.pool, 1, 1) == '@' then call('DEL', P .. 'idle:' .. job.pool) end
  call('HINCRBY', P .. 'totals', 'jobs_' .. state, '1')
  measure_job(job)
  local detail = {result = summary(job, reason), status = state}
  if worker then detail.workerId = worker_name(worker) end
  if error then detail.error = error end
  emit(EVENT_OF[state], id, job.customer, detail)
  if not is_tidied_later then remove_expired(8) end
end

-- A foreground job (pool `@<id>`) whose owner died is leased by nobody: its time runs from the
-- start, not from its first lease, so that it ends all the same.
local function bound_deadline(id, pool, delay_ms)
  if string.sub(pool, 1, 1) ~= '@' then return end
  local longest = number_of(call('HGET', job_key(id), 'max_duration_ms'))
  call('ZADD', P .. 'deadlines', NOW + delay_ms + longest, id)
end

-- Start the next attempt of a failed job later; its recorded pages stay. A paused job stays paused.
local function job_retry_later(job, delay_ms, error)
  local id = job.id
  job_save(job)
  job_lanes_remove(id, job)
  call('ZREM', P .. 'deadlines', id)
  if job.state == 'paused' then
    call('HSET', job_key(id), 'paused_from', 'delayed', 'delay_left_ms', delay_ms, 'time_left_ms', 0)
  else
    bound_deadline(id, job.pool, delay_ms)
    job_move(id, job.state, 'delayed')
    call('ZADD', P .. 'delayed', NOW + delay_ms, 'j ' .. id)
  end
  emit('jobRetried', id, job.customer, {attempt = job.attempt, delay = delay_ms, error = error})
end

local function backoff_ms(kind, base, attempt, jitter)
  local delay = base
  if kind == 'exponential' then delay = base * 2 ^ (attempt - 1) end
  return math.floor(math.min(delay, number_of(setting('job_backoff_cap_ms') or 3600000)) * jitter)
end

-- The job's start page could not be recorded: another attempt, or the end.
local function job_fail(job, reason, worker)
  if job.error == 'robots' or job.error == 'blocked_address' then
    -- What was forbidden now is so in five seconds: no attempt could end otherwise.
    job_finish(job, 'failed', job.error, worker, job.error)
  elseif job.attempt < job.attempts and job.error ~= QUARANTINED then
    -- Jitter without a random source in the script: the low bits of the clock.
    local jitter = 0.8 + 0.4 * ((clock[2] % 1000) / 1000)
    local delay_ms = backoff_ms(job.backoff_type, job.backoff_ms, job.attempt, jitter)
    job_retry_later(job, delay_ms, job.error or reason)
  else
    job_finish(job, 'failed', reason, worker, job.error or reason)
  end
end

-- Called at the end of every transition that may have ended a job's last open page; true when it
-- has, and then the job is saved.
local function finish_if_done(job, worker)
  if job.state ~= 'active' and job.state ~= 'paused' then return false end
  local reason
  if job.queued + job.delayed + job.leased == 0 then reason = 'finished'
  elseif job.leased == 0 and job.done >= job.max_pages then reason = 'max_pages'
  elseif job.leased == 0 and job.fetches >= fetch_bound(job.max_pages) then reason = 'attempt_limit'
  else return false end
  if job.start_recorded then
    job_finish(job, 'completed', reason, worker)
  else
    job_fail(job, reason == 'finished' and 'start_page' or reason, worker)
  end
  return true
end

-- Queue one failed, skipped or left page again; a failed page's note is "<code> <extra>".
local function page_requeue(id, job, url, page, field)
  if field then count(id, field, -1) end
  count(id, 'queued', 1)
  local extra = page.note
  if page.state == 'f' then extra = string.match(page.note, '^%S+ (.+)$') end
  if page.state == 's' then extra = nil end
  if page.state == 'f' and is_quarantined(page) then
    -- Somebody wants to try it again: it is still a suspect, but not a convict.
    local known = call('HGET', suspects_key(id), url)
    local suspect = known and cjson.decode(known) or {deaths = {}}
    suspect.charges = 0
    call('HSET', suspects_key(id), url, cjson.encode(suspect))
    suspects_count(id)
  end
  page.attempts = '0'
  page_set(id, url, 'q', page, extra)
  lane_push(id, job, host_of(url), url, false, false)
end

-- Queue again what failed for the next attempt: failed pages, and a start page that was skipped.
-- Pages that killed their workers only where `by_hand`.
local function requeue_failed(id, job, by_hand)
  local f = fields(job_key(id), 'start_url', 'start_recorded')
  local start = page_get(id, f[1])
  if start.state == 's' and not f[2] then page_requeue(id, job, f[1], start, 'skipped') end
  if start.state == 'f' and (by_hand or not is_quarantined(start)) then
    page_requeue(id, job, f[1], start, 'failed')
  end
  for _, text in ipairs(call('LRANGE', P .. 'job:' .. id .. ':errors', 0, -1)) do
    local is_json, error = pcall(cjson.decode, text)
    local url = is_json and type(error) == 'table' and error.url
    local failed = url and page_get(id, url)
    if failed and failed.state == 'f' and (by_hand or not is_quarantined(failed)) then
      page_requeue(id, job, url, failed, 'failed')
    end
  end
end

-- A delayed job's time has come: it waits for a worker.
local function job_wake(id)
  local f = fields(job_key(id), 'state', 'attempt', 'customer')
  if f[1] ~= 'delayed' then return end
  local job = load_place(id)
  if number_of(f[2]) > 0 then
    requeue_failed(id, job)
    call('HDEL', job_key(id), 'starved', 'error')
    call('HSET', job_key(id), 'fetches', 0)
  end
  bound_deadline(id, job.pool, 0)
  job_move(id, 'delayed', 'waiting')
  job_lanes_ready(id, job)
  emit('jobWaiting', id, f[3], nil)
end

-- A delayed page's time has come. `entry` = "<job> <url>".
local function page_wake(entry)
  local id, url = string.match(entry, '^(%S+) (%S+)$')
  local page = page_get(id, url)
  local f = fields(job_key(id), 'state', 'starved')
  if not page or page.state ~= 'w' or not f[1] or FINAL[f[1]] then return end
  local job = load_place(id)
  page_set(id, url, 'q', page, page.note)
  count(id, 'delayed', -1)
  count(id, 'queued', 1)
  lane_push(id, job, host_of(url), url, false, may_lease(f[1]) and not f[2])
  wake_workers(job.pool, 1)
end

local function promote_delayed(bound)
  local due = call('ZRANGEBYSCORE', P .. 'delayed', '-inf', NOW, 'LIMIT', 0, bound)
  if #due > 0 and not time_is_sure() then return 0 end
  for _, member in ipairs(due) do
    call('ZREM', P .. 'delayed', member)
    local kind, rest = string.sub(member, 1, 1), string.sub(member, 3)
    if kind == 'j' then job_wake(rest) else page_wake(rest) end
  end
  return #due
end

-- Jobs past their maxDuration end with what they have.
local function expire_jobs(bound)
  local due = call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', NOW, 'LIMIT', 0, bound)
  if #due > 0 and not time_is_sure() then return 0 end
  for _, id in ipairs(due) do
    job_finish(job_load(id), 'failed', 'timeout', nil, 'maxDuration is over: raise it, or lower maxPages')
  end
  return #due
end

-- Take back every lease of a worker, uncharged, and forget the worker.
local function worker_reclaim(instance)
  local flat = call('HGETALL', leases_key(instance))
  for i = 1, #flat, 2 do page_release(instance, flat[i], lease_unpack(flat[i + 1])) end
  for _, pool in ipairs(cjson.decode(call('HGET', worker_key(instance), 'pools') or '[]')) do
    call('SREM', P .. 'idle:' .. pool, instance)
  end
  call('DEL', leases_key(instance), worker_key(instance), P .. 'wake:' .. instance)
  call('ZREM', P .. 'workers', instance)
  if #flat > 0 then call('HINCRBY', P .. 'totals', 'leases_reclaimed', #flat / 2) end
  return #flat / 2
end

local function reclaim_expired(bound)
  local dead = call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW, 'LIMIT', 0, bound)
  if #dead > 0 and not time_is_sure() then return 0 end
  local pages = 0
  for _, instance in ipairs(dead) do pages = pages + worker_reclaim(instance) end
  return pages
end
