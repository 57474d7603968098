#!lua
-- Commit pages: check each lease's token, store its record, queue its new links, count, end the
-- lease, and finish the job if this was its last open page. A stale token changes nothing.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 the worker's memory (JSON), then per page:
--         token, outcome (done | failed | skipped | retry), final URL, code, record or error
--         (JSON), retry delay ms, host pause ms, body bytes,
--         n links, n x "<url>[ <extra>]",
--         n reasons, n x (reason, count, sample URL)
-- Reply   per page: ok | lost (token void: a normal race) | duplicate (the redirect's target is
--         recorded already) | full (the job's byte limit: the job ended)
local worker = ARGV[1]
local worker_text = string.gsub(worker_name(worker), '["\\%c]', '?')
local touched, order = {}, {}
local ended, left_hosts = {}, {}

-- What the batch changes of one job; written once, at its end.
local function job_of(id)
  local job = touched[id]
  if not job then
    local f = fields(job_key(id), 'pool', 'priority', 'customer', 'seq', 'state', 'starved',
      'max_pages', 'known', 'bytes', 'suspects')
    job = {pool = f[1], priority = tonumber(f[2]), customer = f[3], seq = f[4], state = f[5],
           starved = f[6], max_known = fetch_bound(number_of(f[7])), known = number_of(f[8]),
           bytes = number_of(f[9]), suspects = number_of(f[10]), counts = {}, leases = 0, lanes = {}, samples = {},
           records = {}, recorded = {}, filtered = {},
           next_record = call('LLEN', job_key(id) .. ':records')}
    touched[id] = job
    order[#order + 1] = id
  end
  return job
end

local function add(counts, name, by) counts[name] = (counts[name] or 0) + by end

local QUEUED = string.byte('q')

-- A link that is new to the job: its packed value, or nil when it is left out.
local function new_link(job, url, extra, packed)
  local host = host_of(url)
  if not host then return add(job.filtered, 'malformed', 1) end
  if job.known >= job.max_known then return add(job.filtered, 'budget', 1) end
  job.known = job.known + 1
  add(job.counts, 'known', 1)
  add(job.counts, 'queued', 1)
  job.lanes[host] = job.lanes[host] or {}
  table.insert(job.lanes[host], url)
  return extra and packed .. ' ' .. extra or packed
end

-- A known page was found again, perhaps nearer to the start: while it waits its lower depth wins.
local function lower_depth(id, url, packed, depth)
  if tonumber(string.match(packed, '^q (%d+)')) <= depth then return end
  local known = page_unpack(packed)
  known.depth = whole(depth)
  page_set(id, url, 'q', known, known.note)
end

-- One look and one write for the links ARGV[first .. last]: most are known, and a call for each
-- is what costs. `packed` is the value of a new page.
local function add_links(id, job, depth, packed, first, last)
  local urls, extras, seen, written = {}, {}, {}, {}
  for i = first, last do
    local url, extra = ARGV[i], nil
    local space = string.find(url, ' ', 1, true)
    if space then url, extra = string.sub(url, 1, space - 1), string.sub(url, space + 1) end
    if not seen[url] then
      seen[url] = true
      urls[#urls + 1] = url
      extras[#urls] = extra
    end
  end
  for i, known in ipairs(call('HMGET', pages_key(id), unpack(urls))) do
    if not known then
      local value = new_link(job, urls[i], extras[i], packed)
      if value then
        written[#written + 1] = urls[i]
        written[#written + 1] = value
      end
    elseif string.byte(known) == QUEUED then
      lower_depth(id, urls[i], known, depth)
    end
  end
  if #written > 0 then call('HSET', pages_key(id), unpack(written)) end
end

local SAMPLES_KEPT = 200

local function add_filtered(job, reason, times, sample)
  add(job.filtered, reason, tonumber(times))
  if sample ~= '' and #job.samples < SAMPLES_KEPT then
    table.insert(job.samples, reason .. ' ' .. sample)
  end
end

local FIELD_OF = {q = 'queued', w = 'delayed', f = 'failed', s = 'skipped', o = 'left'}

-- A redirect ended at `url`: whose page is it? Returns 'own', 'other' (that page is now recorded
-- with this content) or 'duplicate'.
local function redirect_target(id, job, url, page, requested)
  local target = page_get(id, url)
  if not target then
    page_set(id, url, 'a', page, requested)
    return 'own'
  end
  if FIELD_OF[target.state] then
    add(job.counts, FIELD_OF[target.state], -1)
    if target.state == 'o' then add(job.counts, 'known', 1) end
    return 'other', target
  end
  return 'duplicate', target
end

local function record_page(id, job, lease, page, url, payload)
  local owner, target = 'own', nil
  if url ~= lease.url then
    owner, target = redirect_target(id, job, url, page, lease.url)
  end
  if owner == 'duplicate' then
    page_set(id, lease.url, 's', page, 'duplicate ' .. url)
    add(job.counts, 'skipped', 1)
    return 'duplicate'
  end
  table.insert(job.records, payload)
  table.insert(job.recorded, url)
  local number = job.next_record + #job.records - 1
  job.bytes = job.bytes + #payload
  add(job.counts, 'bytes', #payload)
  add(job.counts, 'done', 1)
  if owner == 'own' then
    page_set(id, lease.url, 'd', page, number)
  else
    page_set(id, url, 'd', target, number)
    page_set(id, lease.url, 's', page, 'duplicate ' .. url)
    add(job.counts, 'skipped', 1)
  end
  return 'ok', number
end

local function end_page(id, job, lease, page, outcome, url, code, payload, delay)
  if outcome == 'retry' then
    page_set(id, lease.url, 'w', page, page.note)
    add(job.counts, 'delayed', 1)
    call('ZADD', P .. 'delayed', NOW + delay, 'p ' .. id .. ' ' .. lease.url)
  elseif outcome == 'failed' then
    page_set(id, lease.url, 'f', page, page.note ~= '' and code .. ' ' .. page.note or code)
    add(job.counts, 'failed', 1)
  else
    page_set(id, lease.url, 's', page, code .. (url ~= lease.url and ' ' .. url or ''))
    add(job.counts, 'skipped', 1)
  end
  if outcome == 'failed' or outcome == 'skipped' and page.parent == '-1' then
    call('RPUSH', job_key(id) .. ':errors', payload)
  end
  if page.parent == '-1' and outcome ~= 'retry' then
    call('HSET', job_key(id), 'error', code)
  end
end

-- A canonical URL and a code need no escaping; anything else is left to cjson.
local function emit_committed(id, job, url, outcome, code)
  if string.find(url, '["\\%c\128-\255]') or string.find(code, '[^%w_]') then
    emit('pageCommitted', id, job.customer, {url = url, status = outcome, code = code,
      workerId = worker_name(worker)})
    return
  end
  emit_text('pageCommitted', id, job.customer, '{"url":"' .. url .. '","status":"' .. outcome ..
    (code ~= '' and '","code":"' .. code or '') .. '","workerId":"' .. worker_text .. '"}')
end

local function commit_one(a)
  local token, outcome, url, code = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local payload, n = ARGV[a + 4], tonumber(ARGV[a + 8])
  local reasons_at = a + 9 + n
  local after = reasons_at + 1 + 3 * tonumber(ARGV[reasons_at])
  local packed = not ended[token] and call('HGET', leases_key(worker), token)
  if not packed then return 'lost', after end
  ended[token] = true
  ended[#ended + 1] = token
  local lease = lease_unpack(packed)
  local id = lease.job
  local job = job_of(id)
  local page = page_get(id, lease.url)
  local pause = ARGV[a + 6] ~= '0' and tonumber(ARGV[a + 6]) or 0
  if pause > 0 then
    local until_now = number_of(call('HGET', host_key(lease.host), 'paused_until'))
    call('HSET', host_key(lease.host), 'paused_until', math.max(until_now, NOW + pause))
  end
  add(left_hosts, lease.host, 1)
  job.leases = job.leases + 1
  add(job.counts, 'leased', -1)
  add(job.counts, 'body_bytes', tonumber(ARGV[a + 7]))
  local status, record = 'ok', -1
  if outcome == 'done' and job.bytes + #payload > number_of(setting('max_job_bytes') or 2 ^ 31) then
    outcome, code, status = 'skipped', 'job_bytes', 'full'
    payload = cjson.encode({url = lease.url, code = code,
      message = 'the records of this job have used up its bytes'})
  end
  if outcome == 'done' then
    status, record = record_page(id, job, lease, page, url, payload)
    if page.parent == '-1' then
      call('HSET', job_key(id), 'start_recorded', 1, 'site', url)
      call('HDEL', job_key(id), 'error')
    end
    if record then
      local depth = page.depth + 1
      local packed_link = page_pack('q', whole(depth), whole(record), '0')
      for i = a + 9, a + 8 + n, 500 do
        add_links(id, job, depth, packed_link, i, math.min(i + 499, a + 8 + n))
      end
    end
  else
    end_page(id, job, lease, page, outcome, url, code, payload, tonumber(ARGV[a + 5]))
  end
  for i = reasons_at + 1, after - 1, 3 do add_filtered(job, ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
  if status == 'duplicate' then outcome, code = 'skipped', 'duplicate' end
  if outcome ~= 'retry' then emit_committed(id, job, url, outcome, code) end
  if status == 'full' then job.is_full = true end
  -- It was handled, and the worker lives.
  if job.suspects > 0 and outcome ~= 'retry' then
    local recorded = outcome == 'done' and url or lease.url
    if call('HDEL', suspects_key(id), lease.url, recorded) > 0 then suspects_count(id) end
  end
  return status, after
end

local function progress(id, job)
  local f = fields(job_key(id), 'progress_at', 'started_at', 'done', 'known', 'max_pages', 'failed', 'skipped')
  if NOW - number_of(f[1]) < 1000 then return end
  local done = number_of(f[3])
  local seconds = math.max(0.001, (NOW - number_of(f[2] or NOW)) / 1000)
  local rate = done / seconds
  local goal = math.min(number_of(f[4]) - number_of(f[6]) - number_of(f[7]), number_of(f[5]))
  call('HSET', job_key(id), 'progress_at', NOW)
  emit('jobProgress', id, job.customer, {workerId = worker_name(worker), pagesScraped = done, totalPages = number_of(f[4]),
    rate = math.floor(rate * 100) / 100,
    eta = rate > 0 and math.floor(math.max(0, goal - done) / rate * 1000) or nil})
end

-- Append in steps: a script's call takes a bounded number of arguments.
local function append(command, key, values)
  for i = 1, #values, 1000 do call(command, key, unpack(values, i, math.min(i + 999, #values))) end
end

-- Write what the batch changed of a job.
local function write_job(id, job)
  append('RPUSH', job_key(id) .. ':records', job.records)
  append('RPUSH', job_key(id) .. ':recorded', job.recorded)
  for name, by in pairs(job.counts) do if by ~= 0 then count(id, name, by) end end
  for reason, times in pairs(job.filtered) do
    call('HINCRBY', job_key(id) .. ':filtered', reason, times)
  end
  if #job.samples > 0 then
    append('LPUSH', job_key(id) .. ':filtered_sample', job.samples)
    call('LTRIM', job_key(id) .. ':filtered_sample', 0, SAMPLES_KEPT - 1)
  end
  call('HSET', job_key(id), 'memory', ARGV[2])
  holder_leave(id, worker, job.leases)
  for host, urls in pairs(job.lanes) do
    local was_empty = call('EXISTS', lane_key(id, host)) == 0
    append('RPUSH', lane_key(id, host), urls)
    if was_empty then
      call('SADD', hosts_key(id), host)
      if may_lease(job.state) and not job.starved then lane_open(id, job, host) end
    end
  end
  if job.counts.queued and may_lease(job.state) then wake_workers(job.pool, job.counts.queued) end
end

local replies = {}
local a = 3
while a <= #ARGV do
  replies[#replies + 1], a = commit_one(a)
end
if #ended > 0 then call('HDEL', leases_key(worker), unpack(ended)) end
for host, pages in pairs(left_hosts) do host_leave(host, pages) end
for _, id in ipairs(order) do
  local job = touched[id]
  write_job(id, job)
  if job.is_full then
    local is_started = call('HEXISTS', job_key(id), 'start_recorded') == 1
    job_finish(id, is_started and 'completed' or 'failed', 'max_bytes', worker,
      not is_started and 'job_bytes' or nil)
  elseif not finish_if_done(id, worker) then
    if job.starved then job_unstarve(id, job) end
    if FINAL[job.state] == nil then progress(id, job) end
  end
end
if #ended > 0 then call('HINCRBY', P .. 'totals', 'pages_committed', #ended) end
return replies
