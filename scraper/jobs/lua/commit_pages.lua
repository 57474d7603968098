#!lua
-- Commit pages: check each lease's token, store its record, queue its new links, count, end the
-- lease, and finish the job if this was its last open page. A stale token changes nothing.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 the worker's memory (JSON), then per page:
--         token, outcome (done | failed | skipped | retry), final URL ("" = the lease's), record or
--         error (JSON), body bytes, n links, n reasons,
--         for all but done: code (of a skipped page "<code>[ <note>]"), retry delay ms, host pause ms,
--         n links x "<url>[ <extra>]", n reasons x "<reason> <count>[ <sample URL>]"
-- Reply   per page: ok | lost (token void: a normal race) | duplicate (the redirect's target is
--         recorded already) | full (the job's byte limit: the job ended)
-- First all is read that the batch needs, then the pages are gone through in their order, in
-- memory, then each job is written once: calls are what costs.
local worker = ARGV[1]
local worker_text = cjson.encode(worker_name(worker))
local STEP = 1000   -- values a call: unpack takes a bounded number
local QUEUED = string.byte('q')
local SAMPLES_KEPT = 200
local FIELD_OF = {q = 'queued', w = 'delayed', f = 'failed', s = 'skipped', o = 'left'}
local find, sub = string.find, string.sub

local jobs, order = {}, {}
local places, unpacked, reasons = {}, {}, {}   -- texts that were read, by what they said
local left_hosts = {}

local function job_of(id)
  local job = jobs[id]
  if not job then
    job = job_load(id)
    -- `stored` is what the frontier has of the URLs in question (false: nothing), `fresh` what
    -- this batch makes of them, in the order `urls`.
    job.stored, job.asked, job.fresh, job.urls = {}, {}, {}, {}
    job.max_known, job.ended, job.lanes, job.samples = fetch_bound(job.max_pages), 0, {}, {}
    job.records, job.recorded, job.errors, job.filtered = {}, {}, {}, {}
    jobs[id] = job
    order[#order + 1] = job
  end
  return job
end

-- The pages of the batch, and their leases.
local function read_pages()
  local pages, tokens, last = {}, {}, #ARGV
  local a = 3
  while a <= last do
    local page = {token = ARGV[a], outcome = ARGV[a + 1], payload = ARGV[a + 3],
                  first = a + 7, links = a + 6}
    if page.outcome ~= 'done' then
      page.code, page.delay, page.pause = ARGV[a + 7], tonumber(ARGV[a + 8]), tonumber(ARGV[a + 9])
      page.first, page.links = a + 10, a + 9
    end
    page.links = page.links + tonumber(ARGV[a + 5])
    page.last = page.links + tonumber(ARGV[a + 6])
    page.url, page.body_bytes = ARGV[a + 2], tonumber(ARGV[a + 4])
    pages[#pages + 1] = page
    tokens[#tokens + 1] = page.token
    a = page.last + 1
  end
  return pages, tokens
end

local function read_leases(pages, tokens)
  local ended, used = {}, {}
  for first = 1, #tokens, STEP do
    local last = math.min(first + STEP - 1, #tokens)
    local values = call('HMGET', leases_key(worker), unpack(tokens, first, last))
    for i, packed in ipairs(values) do
      local page = pages[first + i - 1]
      if packed and not used[page.token] then
        used[page.token] = true
        ended[#ended + 1] = page.token
        local space = find(packed, ' ', 1, true)
        local text = sub(packed, space + 1)
        page.lease_url = sub(packed, 1, space - 1)
        local place = places[text]
        if not place then
          place = lease_place(text)
          place.origin = string.match(page.lease_url, '^%a+://[^/?#]+/') or page.lease_url
          place.done = 'd ' .. place.page.depth .. ' ' .. place.page.parent .. ' ' ..
            place.page.attempts .. ' '
          places[text] = place
        end
        page.place = place
        page.job = job_of(place.job)
        if page.url == '' then page.url = page.lease_url end
      end
    end
  end
  return ended
end

local function ask(job, url)
  if job.stored[url] == nil then
    job.stored[url] = false
    job.asked[#job.asked + 1] = url
  end
end

-- What the frontier knows of the links and redirect targets: one call a job.
local function read_known(pages)
  for _, page in ipairs(pages) do
    if page.place and page.outcome == 'done' then
      for i = page.first, page.links do
        local space = find(ARGV[i], ' ', 1, true)
        ask(page.job, space and sub(ARGV[i], 1, space - 1) or ARGV[i])
      end
      if page.url ~= page.lease_url then ask(page.job, page.url) end
    end
  end
  for _, job in ipairs(order) do
    local asked, stored = job.asked, job.stored
    for first = 1, #asked, STEP do
      local last = math.min(first + STEP - 1, #asked)
      local values = call('HMGET', pages_key(job.id), unpack(asked, first, last))
      for i, packed in ipairs(values) do stored[asked[first + i - 1]] = packed end
    end
  end
end

local function known_page(job, url)
  local packed = job.fresh[url] or job.stored[url]
  if not packed then return nil end
  local page = unpacked[packed]
  if not page then
    page = page_unpack(packed)
    unpacked[packed] = page
  end
  return page
end

local function set_page(job, url, packed)
  if not job.fresh[url] then job.urls[#job.urls + 1] = url end
  job.fresh[url] = packed
end

local function set_state(job, url, state, page, note)
  set_page(job, url, page_pack(state, page.depth, page.parent, page.attempts, note))
end

local function leave_out(job, reason, times)
  job.filtered[reason] = (job.filtered[reason] or 0) + times
end

-- A link that is new to the job.
local function add_link(job, place, url, extra, packed)
  local host = place.host
  if sub(url, 1, #place.origin) ~= place.origin then
    host = host_of(url)
    if not host then return leave_out(job, 'malformed', 1) end
  end
  if job.known >= job.max_known then return leave_out(job, 'budget', 1) end
  job_add(job, 'known', 1)
  job_add(job, 'queued', 1)
  local lane = job.lanes[host]
  if not lane then
    lane = {}
    job.lanes[host] = lane
  end
  lane[#lane + 1] = url
  set_page(job, url, extra and packed .. ' ' .. extra or packed)
end

-- The links ARGV[first .. last] of a page recorded as `number`. A page that is known already was
-- perhaps found nearer to the start now: while it waits its lower depth wins.
local function add_links(job, place, number, first, last)
  local depth = place.page.depth + 1
  local new = page_pack('q', whole(depth), number, '0')
  for i = first, last do
    local url, extra = ARGV[i], nil
    local space = find(url, ' ', 1, true)
    if space then url, extra = sub(url, 1, space - 1), sub(url, space + 1) end
    local packed = job.fresh[url] or job.stored[url]
    if not packed then
      add_link(job, place, url, extra, new)
    elseif string.byte(packed) == QUEUED then
      local known = known_page(job, url)
      if tonumber(known.depth) > depth then
        set_page(job, url, page_pack('q', whole(depth), known.parent, known.attempts, known.note))
      end
    end
  end
end

local function add_filtered(job, first, last)
  for i = first, last do
    local reason = reasons[ARGV[i]]
    if not reason then
      local name, times, sample = string.match(ARGV[i], '^(.-) (%d+) ?(.*)$')
      reason = {name = name, times = tonumber(times), sample = sample}
      reasons[ARGV[i]] = reason
    end
    leave_out(job, reason.name, reason.times)
    if reason.sample ~= '' and #job.samples < SAMPLES_KEPT then
      table.insert(job.samples, reason.name .. ' ' .. reason.sample)
    end
  end
end

-- A redirect ended at page.url: whose page is it? Returns 'own', 'other' (that page is now recorded
-- with this content) or 'duplicate'.
local function redirect_target(job, page)
  local target = known_page(job, page.url)
  if not target then
    set_state(job, page.url, 'a', page.place.page, page.lease_url)
    return 'own'
  end
  local field = FIELD_OF[target.state]
  if not field then return 'duplicate' end
  job_add(job, field, -1)
  if target.state == 'o' then job_add(job, 'known', 1) end
  return 'other', target
end

-- Store the record; 'ok' and its number, or 'duplicate'.
local function record_page(job, page)
  local owner, target = 'own', nil
  if page.url ~= page.lease_url then owner, target = redirect_target(job, page) end
  if owner ~= 'own' then
    set_state(job, page.lease_url, 's', page.place.page, 'duplicate ' .. page.url)
    job_add(job, 'skipped', 1)
    if owner == 'duplicate' then return 'duplicate' end
  end
  -- What is recorded is counted by `done`; both change together, here alone.
  local number = whole(job.done)
  job.records[#job.records + 1] = page.payload
  job.recorded[#job.recorded + 1] = page.url
  job_add(job, 'bytes', #page.payload)
  job_add(job, 'done', 1)
  if owner == 'own' then
    set_page(job, page.lease_url, page.place.done .. number)
  else
    set_state(job, page.url, 'd', target, number)
  end
  return 'ok', number
end

-- The start page is through: where it ended is the job's site.
local function start_recorded(job, url)
  job_put(job, 'start_recorded', '1')
  job_put(job, 'site', url)
  if job.error then job_put(job, 'error', nil) end
end

-- A page that was not recorded.
local function end_page(job, page)
  local old, code, url = page.place.page, page.code, page.lease_url
  if page.outcome == 'retry' then
    set_state(job, url, 'w', old, old.note)
    job_add(job, 'delayed', 1)
    call('ZADD', P .. 'delayed', NOW + page.delay, 'p ' .. job.id .. ' ' .. url)
  elseif page.outcome == 'failed' then
    set_state(job, url, 'f', old, old.note ~= '' and code .. ' ' .. old.note or code)
    job_add(job, 'failed', 1)
  else
    set_state(job, url, 's', old, code .. (page.url ~= url and ' ' .. page.url or ''))
    job_add(job, 'skipped', 1)
    page.code = string.match(code, '^%S*')
    -- Nothing was fetched: a site that forbids much must not use up the job's fetches.
    if page.code == 'robots' then job_add(job, 'fetches', -1) end
  end
  if page.outcome == 'failed' or page.outcome == 'skipped' and old.parent == '-1' then
    job.errors[#job.errors + 1] = page.payload
  end
  if old.parent == '-1' and page.outcome ~= 'retry' then job_put(job, 'error', page.code) end
end

local function pause_host(host, ms)
  local until_now = number_of(call('HGET', host_key(host), 'paused_until'))
  call('HSET', host_key(host), 'paused_until', math.max(until_now, NOW + ms))
end

local function emit_committed(job, page)
  local code = page.code and page.code ~= '' and '","code":' .. cjson.encode(page.code) or '"'
  emit_text('pageCommitted', job.id, job.customer, '{"url":' .. cjson.encode(page.url) ..
    ',"status":"' .. page.outcome .. code .. ',"workerId":' .. worker_text .. '}')
end

-- It was handled, and the worker lives.
local function clear_suspect(job, page)
  local recorded = page.outcome == 'done' and page.url or page.lease_url
  if call('HDEL', suspects_key(job.id), page.lease_url, recorded) > 0 then
    job_put(job, 'suspects', call('HLEN', suspects_key(job.id)))
  end
end

local function commit_one(page)
  if not page.place then return 'lost' end
  local job, place = page.job, page.place
  if page.pause and page.pause > 0 then pause_host(place.host, page.pause) end
  left_hosts[place.host] = (left_hosts[place.host] or 0) + 1
  job.ended = job.ended + 1
  job_add(job, 'leased', -1)
  job_add(job, 'body_bytes', page.body_bytes)
  local status, number = 'ok', nil
  if page.outcome == 'done' then
    if job.bytes + #page.payload > number_of(setting('max_job_bytes') or 2 ^ 31) then
      page.outcome, page.code, status = 'skipped', 'job_bytes', 'full'
      page.payload = cjson.encode({url = page.lease_url, code = page.code,
        message = 'the records of this job have used up its bytes'})
      job.is_full = true
    else
      status, number = record_page(job, page)
      if place.page.parent == '-1' then start_recorded(job, page.url) end
      if number then add_links(job, place, number, page.first, page.links) end
    end
  end
  if page.outcome ~= 'done' then end_page(job, page) end
  add_filtered(job, page.links + 1, page.last)
  if status == 'duplicate' then page.outcome, page.code = 'skipped', 'duplicate' end
  if page.outcome ~= 'retry' then
    emit_committed(job, page)
    if job.suspects > 0 then clear_suspect(job, page) end
  end
  return status
end

local function progress(job)
  if NOW - job.progress_at < 1000 then return end
  local seconds = math.max(0.001, (NOW - number_of(job.started_at or NOW)) / 1000)
  local rate = job.done / seconds
  local goal = math.min(job.known - job.failed - job.skipped, job.max_pages)
  job_put(job, 'progress_at', NOW)
  emit('jobProgress', job.id, job.customer, {workerId = worker_name(worker),
    pagesScraped = job.done, totalPages = job.known, rate = math.floor(rate * 100) / 100,
    eta = rate > 0 and math.floor(math.max(0, goal - job.done) / rate * 1000) or nil})
end

-- Append in steps; returns the list's length.
local function append(command, key, values)
  local length
  for i = 1, #values, STEP do
    length = call(command, key, unpack(values, i, math.min(i + STEP - 1, #values)))
  end
  return length
end

-- Write the states of pages and what is queued anew.
local function write_pages(job)
  local values, n = {}, 0
  for i, url in ipairs(job.urls) do
    values[n + 1], values[n + 2] = url, job.fresh[url]
    n = n + 2
    if n == STEP or i == #job.urls then
      call('HSET', pages_key(job.id), unpack(values, 1, n))
      n = 0
    end
  end
  local may_open = may_lease(job.state) and not job.starved
  local added = 0
  for host, urls in pairs(job.lanes) do
    added = added + #urls
    if append('RPUSH', lane_key(job.id, host), urls) == #urls then
      call('SADD', hosts_key(job.id), host)
      if may_open then lane_open(job.id, job, host) end
    end
  end
  if added > 0 and may_lease(job.state) then wake_workers(job.pool, added) end
end

-- Write what the batch changed of a job, and finish it if it is done.
local function write_job(job)
  local key = job_key(job.id)
  append('RPUSH', key .. ':records', job.records)
  append('RPUSH', key .. ':recorded', job.recorded)
  append('RPUSH', key .. ':errors', job.errors)
  for reason, times in pairs(job.filtered) do
    call('HINCRBY', key .. ':filtered', reason, whole(times))
  end
  if #job.samples > 0 then
    append('LPUSH', key .. ':filtered_sample', job.samples)
    call('LTRIM', key .. ':filtered_sample', 0, SAMPLES_KEPT - 1)
  end
  job_put(job, 'memory', ARGV[2])
  holder_leave(job, worker, job.ended)
  write_pages(job)
  if job.is_full then
    job_finish(job, job.start_recorded and 'completed' or 'failed', 'max_bytes', worker,
      not job.start_recorded and 'job_bytes' or nil)
  elseif not finish_if_done(job, worker) then
    if FINAL[job.state] == nil then progress(job) end
    job_save(job)
    job_unstarve(job)
  end
end

local pages, tokens = read_pages()
local ended = read_leases(pages, tokens)
read_known(pages)
local replies = {}
for i, page in ipairs(pages) do replies[i] = commit_one(page) end
for first = 1, #ended, STEP do
  call('HDEL', leases_key(worker), unpack(ended, first, math.min(first + STEP - 1, #ended)))
end
for host, count_of in pairs(left_hosts) do host_leave(host, count_of) end
is_tidied_later = true
for _, job in ipairs(order) do write_job(job) end
if #ended > 0 then
  call('HINCRBY', P .. 'totals', 'pages_committed', whole(#ended))
  remove_expired(8 + #order)
end
return replies
