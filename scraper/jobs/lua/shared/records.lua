-- A job's hash in memory: read by one call, changed here, written back by one call. A script that
-- holds a job this way changes its hash by no other means before `job_save`.

local NUMBERS = {
  priority = true, seq = true, max_pages = true, known = true, queued = true, delayed = true,
  leased = true, done = true, failed = true, skipped = true, left = true, fetches = true,
  bytes = true, body_bytes = true, attempt = true, attempts = true, backoff_ms = true,
  host_limit = true, host_delay_ms = true, max_duration_ms = true, result_ttl_ms = true,
  progress_at = true, suspects = true,
}

-- What a lease needs of a job, and what its end or a commit does.
local LEASE_FIELDS = {'state', 'pool', 'priority', 'customer', 'seq', 'max_pages', 'done', 'queued',
  'leased', 'fetches', 'host_limit', 'host_delay_ms', 'max_duration_ms', 'attempt', 'started_at',
  'suspects', 'pace'}
local JOB_FIELDS = {'state', 'pool', 'priority', 'customer', 'seq', 'max_pages', 'known', 'queued',
  'delayed', 'leased', 'done', 'failed', 'skipped', 'left', 'fetches', 'bytes', 'body_bytes',
  'attempt', 'attempts', 'backoff_type', 'backoff_ms', 'max_duration_ms', 'result_ttl_ms',
  'progress_at', 'started_at', 'starved', 'start_recorded', 'error', 'suspects', 'host_limit'}

-- With room for the fields, and for what a commit adds: a table that grows is copied at each step.
local function job_new(id)
  return {id = id, changed = {}, state = nil, pool = nil, priority = nil, customer = nil, seq = nil,
    max_pages = nil, known = nil, queued = nil, delayed = nil, leased = nil, done = nil,
    failed = nil, skipped = nil, left = nil, fetches = nil, bytes = nil, body_bytes = nil,
    attempt = nil, attempts = nil, backoff_type = nil, backoff_ms = nil, max_duration_ms = nil,
    result_ttl_ms = nil, progress_at = nil, suspects = nil, host_limit = nil, host_delay_ms = nil,
    pace = nil, stored = nil, asked = nil, writes = nil, known_before = nil, max_known = nil, ended = nil,
    lanes = nil, samples = nil, records = nil, recorded = nil, errors = nil, filtered = nil,
    shapes = nil, charges = nil, max_bytes = nil, last_host = nil, memory = nil,
    group = nil}
end

-- The job with these fields (all of JOB_FIELDS by default); nil when there is none. Absent numbers
-- are 0, absent texts nil.
local function job_load(id, names)
  names = names or JOB_FIELDS
  local values = call('HMGET', job_key(id), unpack(names))
  if not values[1] then return nil end
  local job = job_new(id)
  for i, name in ipairs(names) do
    local value = values[i]
    if NUMBERS[name] then
      job[name] = value and number_in(value) or 0
    elseif value then
      job[name] = value
    end
  end
  return job
end

local function job_put(job, name, value)
  job[name] = value
  job.changed[name] = true
end

local function job_add(job, name, by)
  job[name] = job[name] + by
  job.changed[name] = true
end

-- Write what was changed; a text that became nil is deleted.
local function job_save(job)
  local pairs_of, gone = {}, {}
  for name in pairs(job.changed) do
    local value = job[name]
    if value == nil then
      gone[#gone + 1] = name
    else
      pairs_of[#pairs_of + 1] = name
      pairs_of[#pairs_of + 1] = type(value) == 'number' and whole(value) or value
    end
  end
  if #pairs_of > 0 then call('HSET', job_key(job.id), unpack(pairs_of)) end
  if #gone > 0 then call('HDEL', job_key(job.id), unpack(gone)) end
  job.changed = {}
end
