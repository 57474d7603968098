-- Pages: their packed state, queueing, ending a lease.
-- `job:<id>:pages` maps URL -> "<state> <depth> <parent> <attempts>[ <note>]" with the states
-- q queued, w delayed, l leased, d done, f failed, s skipped, a another name of a recorded page,
-- o left: open when its job ended, and not taken up by the retry of failed pages only.
-- <parent> is the number of the record whose page linked here (-1: none; below: see shapes.lua);
-- <note> is the record's number (d), the code (s), the code and the extra (f), the URL meant (a),
-- or the extra of an open page: what a custom spider attached to its request, as JSON.
-- A lease is "<url> <job> <host> <start at ms> <depth> <parent> <attempts>[ <extra>]" in
-- `leases:<worker>` under its token. It has what the page's packed state has: that changes only
-- with the end of the lease. Behind the URL, leases of one parent are alike.

-- Depth, parent and attempts stay text: most pages are passed on as they were read.
local function page_pack(state, depth, parent, attempts, note)
  local packed = state .. ' ' .. depth .. ' ' .. parent .. ' ' .. attempts
  if note and note ~= '' then packed = packed .. ' ' .. note end
  return packed
end

local function page_unpack(packed)
  if not packed then return nil end
  local state, depth, parent, attempts, note =
    string.match(packed, '^(%a) (%-?%d+) (%-?%d+) (%d+) ?(.*)$')
  return {state = state, depth = depth, parent = parent, attempts = attempts, note = note}
end

-- The politeness host of a canonical URL: host[:port].
local function host_of(url) return (string.match(url, '^%a+://([^/?#]+)')) end

local function page_get(id, url) return page_unpack(call('HGET', pages_key(id), url)) end

local function page_set(id, url, state, page, note)
  call('HSET', pages_key(id), url, page_pack(state, page.depth, page.parent, page.attempts, note))
end

local function count(id, field, by) call('HINCRBY', job_key(id), field, whole(by)) end

-- Append (or, at the front, put back) a page to its lane; opens the lane if it was empty.
-- The caller has counted it as queued. `may_open` is false while the job must not be leased.
local function lane_push(id, job, host, url, at_front, may_open)
  local length = call(at_front and 'LPUSH' or 'RPUSH', lane_key(id, host), url)
  if length == 1 then
    call('SADD', hosts_key(id), host)
    if may_open then lane_open(id, job, host) end
  end
end

-- What leases of one parent share: the text behind the URL, read.
local function lease_place(text)
  local id, host, start_at, depth, parent, attempts, note =
    string.match(text, '^(%S+) (%S+) (%d+) (%-?%d+) (%-?%d+) (%d+) ?(.*)$')
  return {job = id, host = host, start_at = tonumber(start_at),
          page = {state = 'l', depth = depth, parent = parent, attempts = attempts, note = note}}
end

local function lease_unpack(packed)
  local space = string.find(packed, ' ', 1, true)
  local lease = lease_place(string.sub(packed, space + 1))
  lease.url = string.sub(packed, 1, space - 1)
  return lease
end

-- A worker holds `pages` leases less of a job. `job` = {id, pool, priority, customer, seq}.
local function holder_leave(job, worker, pages)
  local holders = P .. 'job:' .. job.id .. ':holders'
  if call('HINCRBY', holders, worker, whole(-pages)) <= 0 then
    call('HDEL', holders, worker)
    job_rerank(job.id, job)
  end
end

-- End a lease: the token is void from now on, the host's place and the job's holder are free.
-- `job` = {id, pool, priority, customer, seq, host_limit}.
local function lease_end(worker, token, lease, job)
  call('HDEL', leases_key(worker), token)
  host_leave(lease.host, {[job.host_limit] = 1})
  holder_leave(job, worker, 1)
end

-- Suspects: pages that were being handled when a worker died. `job:<id>:suspects` maps URL ->
-- {charges, deaths}; `suspects` in the job's hash counts them, so that a job without any costs no
-- look. A suspect is handled alone in its worker; see bury_worker.lua.
local function suspects_count(id)
  call('HSET', job_key(id), 'suspects', call('HLEN', suspects_key(id)))
end

local QUARANTINED = 'quarantined'
local function is_quarantined(page) return string.find(page.note, '^quarantined') ~= nil end

local function fetch_bound(max_pages) return 3 * max_pages + 100 end

local function may_lease(state) return state == 'waiting' or state == 'active' end

-- How many pages of a job may still be leased now.
local function budget_of(job)
  return math.min(job.max_pages - job.done - job.leased, fetch_bound(job.max_pages) - job.fetches)
end

-- A job whose budget was used up may lease again: its lanes come back, unless it is paused.
local function job_unstarve(job)
  if not job.starved or budget_of(job) <= 0 then return end
  call('HDEL', job_key(job.id), 'starved')
  job.starved = nil
  if may_lease(job.state) then job_lanes_ready(job.id, job) end
end

-- Give a leased page back unharmed: no attempt is charged. `at_back`: behind the job's other pages
-- of its host, not before them.
local function page_release(worker, token, lease, at_back)
  local page, job = lease.page, job_load(lease.job)
  lease_end(worker, token, lease, job)
  page.attempts = whole(math.max(0, page.attempts - 1))
  page_set(lease.job, lease.url, 'q', page, page.note)
  job_add(job, 'leased', -1)
  job_add(job, 'queued', 1)
  job_add(job, 'fetches', -1)
  job_save(job)
  local may_open = may_lease(job.state) and not job.starved
  lane_push(lease.job, job, lease.host, lease.url, not at_back, may_open)
  job_unstarve(job)
  wake_workers(job.pool, 1)
end
