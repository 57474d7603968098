#!lua
-- Commit pages: check each lease's token, store its record, queue its new links, count, end the
-- lease, and finish the job if this was its last open page. A stale token changes nothing.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 the worker's memory (JSON), then per page:
--         token, "<outcome> <n links> <n reasons>[ <strain of its host, see host_strain>]" (done |
--         done+ | failed | skipped | retry), final URL ('' = the lease's), record or error (JSON),
--         body bytes,
--         for all but done: code (of a skipped page "<code>[ <note>]"), retry delay ms, host pause
--         ms,
--         n links x "<url>", for done+ "<url>[ <extra>]",
--         n reasons x "<reason> <count>[ <sample URL>]", or, for a link of a kind of which the job
--         takes a bounded number, "~<limit> <depth> <reason> <shape> <url>[ <extra>]"
-- Reply   for each page that was not simply committed, its place among them (from 1) and: lost (token
--         void: a normal race) | duplicate (the redirect's target is recorded already) | full (the
--         job's byte limit: the job ended)
-- First all is read that the batch needs, then the pages are gone through in their order, in
-- memory, then each job is written once. Calls are what costs most, then strings and tables: so
-- what is known of page i stands in flat lists, and texts that come again are read once.
local STEP = 1000   -- values a call: unpack takes a bounded number
local QUEUED, CHARGED = 113, 126   -- 'q' and '~'
local SAMPLES_KEPT = 200
local FIELD_OF = {q = 'queued', w = 'delayed', f = 'failed', s = 'skipped', o = 'left'}
-- What commits change by themselves, without `job_add`.
local COUNTED = {'known', 'queued', 'done', 'bytes', 'body_bytes'}
-- No fetch of a page: what a site forbids or lists must not use up the job's fetches.
local IS_FREE = {robots = true, sitemap = true, no_sitemap = true}
-- Of a job that knows more pages than this the hash of pages is made a table. Redis keeps a short
-- hash as a list, and goes through all of it for each page.
local LIST_MOST = 48
local TOO_LONG_FOR_A_LIST = 'too long for a list too long for a list too long for a list too long for'
local find, sub, byte   -- of `string`, which is not there while the library is loaded

-- What one call knows, set by `run`.
local worker, jobs, order
local places, unpacked, reasons, charged, heads   -- texts that were read, by themselves
-- Of page i: its token, its head, where its values begin in ARGV (the page after the last one has
-- that, too); and of its lease, the place (false where it is void), the URL, and the final URL where
-- that is another. Lists that are kept, for they grew to their length; what is behind the pages of a
-- call is old.
local tokens, head_of, starts, place_of, lease_urls = {}, {}, {}, {}, {}
local final_urls

local function job_of(id)
  local job = jobs[id]
  if not job then
    job = job_load(id)
    -- `stored` is what the frontier has of the URLs in question (false: nothing), as far as this
    -- batch has come; `writes` what it makes of pages (URL, packed state, ...; the last one counts).
    job.stored, job.asked, job.writes = {}, {}, {}
    job.max_known, job.ended, job.lanes, job.samples = fetch_bound(job.max_pages), 0, {}, {}
    job.records, job.recorded, job.errors, job.filtered = {}, {}, {}, {}
    job.known_before = job.known
    job.shapes, job.charges = false, {}   -- known pages by shape: stored, and new of this batch
    job.max_bytes = number_of(setting('max_job_bytes') or 2 ^ 31)
    jobs[id] = job
    order[#order + 1] = job
  end
  return job
end

local function head_in(text)
  local outcome, links, found, strain = string.match(text, '^(%S+) (%d+) (%d+) ?(%-?%d*)$')
  local is_done = outcome == 'done' or outcome == 'done+'
  local values = is_done and 5 or 8
  local head = {outcome = outcome, links = tonumber(links), reasons = tonumber(found),
                is_done = is_done, has_extras = outcome == 'done+', values = values,
                strain = tonumber(strain)}
  head.length = values + head.links + head.reasons
  heads[text] = head
  return head
end

local function read_pages()
  local n, a, last = 0, 3, #ARGV
  while a <= last do
    n = n + 1
    local head = heads[ARGV[a + 1]] or head_in(ARGV[a + 1])
    tokens[n], head_of[n], starts[n] = ARGV[a], head, a
    a = a + head.length
  end
  starts[n + 1] = a
  return n
end

-- What leases of one parent share.
local function place_in(text, url)
  local place = lease_place(text)
  local page = place.page
  place.of_job = job_of(place.job)
  place.origin = string.match(url, '^%a+://[^/?#]+/') or url
  place.origin_length = #place.origin
  place.done = 'd ' .. page.depth .. ' ' .. page.parent .. ' ' .. page.attempts .. ' '
  place.link_depth, place.is_start, place.ended = page.depth + 1, page.parent == '-1', 0
  places[text] = place
  return place
end

-- Returns how many leases end.
local function read_leases(n)
  local ended, used = 0, {}
  for first = 1, n, STEP do
    local last = math.min(first + STEP - 1, n)
    local values = call('HMGET', leases_key(worker), unpack(tokens, first, last))
    for i = first, last do
      local packed, token, place = values[i - first + 1], tokens[i], false
      if packed and not used[token] then
        used[token] = true
        ended = ended + 1
        local space = find(packed, ' ', 1, true)
        local text, url = sub(packed, space + 1), sub(packed, 1, space - 1)
        local final = ARGV[starts[i] + 2]
        place = places[text] or place_in(text, url)
        place.ended = place.ended + 1
        lease_urls[i] = url
        if final ~= '' and final ~= url then final_urls[i] = final end
      end
      place_of[i] = place
    end
  end
  return ended
end

-- The URL and the extra of a link with one.
local function split(link)
  local space = find(link, ' ', 1, true)
  if not space then return link end
  return sub(link, 1, space - 1), sub(link, space + 1)
end

local function ask(job, url)
  if job.stored[url] == nil then
    job.stored[url] = false
    job.asked[#job.asked + 1] = url
  end
end

-- A page that was read for its links, and has no record.
local function is_sitemap(i)
  return head_of[i].outcome == 'skipped' and ARGV[starts[i] + 5] == 'sitemap'
end

local function ask_charged(job, text)
  local link = charged[text] or charged_link(text)
  charged[text] = link
  ask(job, link.url)
  job.shapes = job.shapes or {}
  job.shapes[link.shape] = 0
end

-- Where in ARGV the links of page i begin, and its reasons.
local function links_of(i)
  local at = starts[i] + head_of[i].values
  return at, at + head_of[i].links
end

local function ask_links(i, job, head)
  local links, reasons_at = links_of(i)
  for at = links, reasons_at - 1 do
    ask(job, head.has_extras and split(ARGV[at]) or ARGV[at])
  end
  for at = reasons_at, starts[i + 1] - 1 do
    if byte(ARGV[at]) == CHARGED then ask_charged(job, ARGV[at]) end
  end
end

-- What the frontier knows of the links and redirect targets: one call a job.
local function read_known(n)
  for i = 1, n do
    local place, head = place_of[i], head_of[i]
    if place and (head.is_done or is_sitemap(i)) then
      if head.length > head.values then ask_links(i, place.of_job, head) end
      if head.is_done and final_urls[i] then ask(place.of_job, final_urls[i]) end
    end
  end
  for _, job in ipairs(order) do
    local asked, stored = job.asked, job.stored
    for first = 1, #asked, STEP do
      local last = math.min(first + STEP - 1, #asked)
      local values = call('HMGET', pages_key(job.id), unpack(asked, first, last))
      for i = first, last do stored[asked[i]] = values[i - first + 1] end
    end
    if job.shapes then shapes_read(job.id, job.shapes) end
  end
end

local function known_page(job, url)
  local packed = job.stored[url]
  if not packed then return nil end
  local page = unpacked[packed]
  if not page then
    page = page_unpack(packed)
    unpacked[packed] = page
  end
  return page
end

local function set_page(job, url, packed)
  local writes, stored = job.writes, job.stored
  local n = #writes
  writes[n + 1], writes[n + 2] = url, packed
  if stored[url] ~= nil then stored[url] = packed end
end

local function set_state(job, url, state, page, note)
  set_page(job, url, page_pack(state, page.depth, page.parent, page.attempts, note))
end

local function leave_out(job, reason, times)
  job.filtered[reason] = (job.filtered[reason] or 0) + times
end

-- A link that is new to the job.
local function add_link(job, place, url, packed)
  local host = place.host
  if sub(url, 1, place.origin_length) ~= place.origin then
    host = host_of(url)
    if not host then return leave_out(job, 'malformed', 1) end
  end
  if job.known >= job.max_known then return leave_out(job, 'budget', 1) end
  job.known = job.known + 1
  job.queued = job.queued + 1
  local lane = job.lanes[host]
  if not lane then
    lane = {}
    job.lanes[host] = lane
  end
  lane[#lane + 1] = url
  set_page(job, url, packed)
end

-- A page that is known already was perhaps found nearer now: while it waits its lower depth wins.
local function come_nearer(job, url, depth)
  local known = known_page(job, url)
  if number_in(known.depth) > depth then
    set_page(job, url, page_pack('q', whole(depth), known.parent, known.attempts, known.note))
  end
end

-- The links of page i, recorded as `number`.
local function add_links(job, place, number, i, has_extras)
  local depth, stored = place.link_depth, job.stored
  local new = 'q ' .. whole(depth) .. ' ' .. number .. ' 0'
  local first, reasons_at = links_of(i)
  for at = first, reasons_at - 1 do
    local url, extra = ARGV[at], nil
    if has_extras then url, extra = split(url) end
    local packed = stored[url]
    if not packed then
      add_link(job, place, url, extra and new .. ' ' .. extra or new)
    elseif byte(packed) == QUEUED then
      come_nearer(job, url, depth)
    end
  end
end

local function keep_sample(job, reason, url)
  if #job.samples < SAMPLES_KEPT then job.samples[#job.samples + 1] = reason .. ' ' .. url end
end

-- Those of its links of which the job takes a bounded number.
local function add_charged(job, place, number, i)
  local _, first = links_of(i)
  for at = first, starts[i + 1] - 1 do
    local link = charged[ARGV[at]]
    local packed = link and job.stored[link.url]
    if packed then
      if byte(packed) == QUEUED then come_nearer(job, link.url, link.depth) end
    elseif link and job.shapes[link.shape] >= link.limit then
      leave_out(job, link.reason, 1)
      keep_sample(job, link.reason, link.url)
    elseif link then
      local known = job.known
      add_link(job, place, link.url, page_pack('q', whole(link.depth), number, 0, link.extra))
      local added = job.known - known
      job.shapes[link.shape] = job.shapes[link.shape] + added
      job.charges[link.shape] = (job.charges[link.shape] or 0) + added
    end
  end
end

local function reason_in(text)
  local name, times, sample = string.match(text, '^(.-) (%d+) ?(.*)$')
  local reason = {name = name, times = tonumber(times), sample = sample ~= '' and sample}
  reasons[text] = reason
  return reason
end

local function add_filtered(job, i)
  local _, first = links_of(i)
  for at = first, starts[i + 1] - 1 do
    if not charged[ARGV[at]] then
      local reason = reasons[ARGV[at]] or reason_in(ARGV[at])
      leave_out(job, reason.name, reason.times)
      if reason.sample then keep_sample(job, reason.name, reason.sample) end
    end
  end
end

-- The page `lease_url` was redirected to `url`: whose page is that? Returns 'own', 'other' (that
-- page is now recorded with this content) or 'duplicate'.
local function redirect_target(job, place, lease_url, url)
  local target = known_page(job, url)
  if not target then
    set_state(job, url, 'a', place.page, lease_url)
    return 'own'
  end
  local field = FIELD_OF[target.state]
  if not field then return 'duplicate' end
  job_add(job, field, -1)
  if target.state == 'o' then job_add(job, 'known', 1) end
  return 'other', target
end

-- Store the record; its number, or nil when the page is a duplicate.
local function record_page(job, place, lease_url, url, payload)
  local owner, target = 'own', nil
  if url ~= lease_url then
    owner, target = redirect_target(job, place, lease_url, url)
    if owner ~= 'own' then
      set_state(job, lease_url, 's', place.page, 'duplicate ' .. url)
      job_add(job, 'skipped', 1)
      if owner == 'duplicate' then return nil end
    end
  end
  -- Records are numbered by `done`: both change together, here alone.
  local number = whole(job.done)
  job.done = job.done + 1
  job.bytes = job.bytes + #payload
  job.records[#job.records + 1] = payload
  job.recorded[#job.recorded + 1] = url
  if owner == 'own' then
    set_page(job, lease_url, place.done .. number)
  else
    set_state(job, url, 'd', target, number)
  end
  return number
end

-- The start page is through: where it ended is the job's site.
local function start_recorded(job, url)
  job_put(job, 'start_recorded', '1')
  job_put(job, 'site', url)
  if job.error then job_put(job, 'error', nil) end
end

-- A page that was not recorded; its code without a note.
local function end_page(job, page, outcome, lease_url, url, code, payload, delay)
  if outcome == 'retry' then
    set_state(job, lease_url, 'w', page, page.note)
    job_add(job, 'delayed', 1)
    call('ZADD', P .. 'delayed', NOW + delay, 'p ' .. job.id .. ' ' .. lease_url)
    return code
  end
  if outcome == 'failed' then
    set_state(job, lease_url, 'f', page, page.note ~= '' and code .. ' ' .. page.note or code)
    job_add(job, 'failed', 1)
  else
    set_state(job, lease_url, 's', page, code .. (url ~= lease_url and ' ' .. url or ''))
    job_add(job, 'skipped', 1)
    code = string.match(code, '^%S*')
    if IS_FREE[code] then job_add(job, 'fetches', -1) end
  end
  if outcome == 'failed' or page.parent == '-1' then job.errors[#job.errors + 1] = payload end
  if page.parent == '-1' then job_put(job, 'error', code) end
  return code
end

-- It was handled, and the worker lives.
local function clear_suspect(job, lease_url, recorded)
  if call('HDEL', suspects_key(job.id), lease_url, recorded) > 0 then
    job_put(job, 'suspects', call('HLEN', suspects_key(job.id)))
  end
end

local function commit_links(job, place, i, number)
  local head = head_of[i]
  if head.links > 0 then add_links(job, place, number, i, head.has_extras) end
  if head.reasons > 0 and job.shapes then add_charged(job, place, number, i) end
end

local function commit_done(job, place, i)
  local lease_url, url, payload = lease_urls[i], final_urls[i] or lease_urls[i], ARGV[starts[i] + 3]
  if job.bytes + #payload > job.max_bytes then
    job.is_full = true
    return 'full', 'skipped', 'job_bytes', cjson.encode({url = lease_url, code = 'job_bytes',
      message = 'the records of this job have used up its bytes'})
  end
  local number = record_page(job, place, lease_url, url, payload)
  if place.is_start then start_recorded(job, url) end
  if not number then return 'duplicate', 'skipped', 'duplicate' end
  commit_links(job, place, i, number)
  if job.suspects > 0 then clear_suspect(job, lease_url, url) end
  return 'ok'
end

local function commit_one(i)
  local place, head = place_of[i], head_of[i]
  if not place then return 'lost' end
  local job, a = place.of_job, starts[i]
  if head.strain then host_strain(place.host, head.strain) end
  -- Addition reads the text, at half of what `tonumber` costs.
  job.body_bytes = job.body_bytes + ARGV[a + 4]
  if head.reasons > 0 then add_filtered(job, i) end
  local status, outcome, code, payload, delay = 'ok', head.outcome, nil, nil, nil
  if head.is_done then
    status, outcome, code, payload = commit_done(job, place, i)
    if not outcome then return 'ok' end
  else
    code, payload, delay = ARGV[a + 5], ARGV[a + 3], tonumber(ARGV[a + 6])
    local pause = number_in(ARGV[a + 7])
    if pause ~= 0 then host_pause(place.host, pause) end
  end
  local lease_url, url = lease_urls[i], final_urls[i] or lease_urls[i]
  if is_sitemap(i) then commit_links(job, place, i, sitemap_add(job.id, lease_url)) end
  if status ~= 'duplicate' then
    code = end_page(job, place.page, outcome, lease_url, url, code, payload, delay)
  end
  if outcome ~= 'retry' then
    emit('pageCommitted', job.id, job.customer, {url = url, status = outcome,
      code = code ~= '' and code or nil, workerId = worker_name(worker)})
    if job.suspects > 0 then clear_suspect(job, lease_url, lease_url) end
  end
  return status
end

local function progress(job)
  local since = NOW - job.progress_at
  if since < 1000 then return end
  local f = fields(job_key(job.id), 'host_limit', 'host_delay_ms', 'pace', 'rate', 'progress_done')
  if job.progress_at == 0 then since = math.max(1, NOW - number_of(job.started_at or NOW)) end
  local rate = math.max(0, job.done - number_of(f[5])) / since * 1000
  if f[4] then rate = 0.5 * rate + 0.5 * tonumber(f[4]) end
  rate = math.floor(rate * 100) / 100
  job_put(job, 'progress_at', NOW)
  job_put(job, 'progress_done', job.done)
  job_put(job, 'rate', tostring(rate))
  local slow = held_up_by(job, job.last_host, f)
  if not slow and find(ARGV[2], '"relief"', 1, true) then slow = {reason = 'memory'} end
  emit('jobProgress', job.id, job.customer, {workerId = worker_name(worker),
    pagesScraped = job.done, totalPages = job.known, rate = rate, eta = eta_of(job, rate, slow),
    slow = slow})
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
  local key = pages_key(job.id)
  if job.known > LIST_MOST and job.known_before <= LIST_MOST then
    call('HSET', key, TOO_LONG_FOR_A_LIST, '')
    call('HDEL', key, TOO_LONG_FOR_A_LIST)
  end
  append('HSET', key, job.writes)
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
  if #job.recorded > 0 then
    emit_pages(job.id, job.customer, job.recorded,
      cjson.encode({status = 'done', workerId = worker_name(worker)}))
  end
  for reason, times in pairs(job.filtered) do
    call('HINCRBY', key .. ':filtered', reason, whole(times))
  end
  shapes_write(job.id, job.charges)
  if #job.samples > 0 then
    append('LPUSH', key .. ':filtered_sample', job.samples)
    call('LTRIM', key .. ':filtered_sample', 0, SAMPLES_KEPT - 1)
  end
  job_put(job, 'memory', ARGV[2])
  job_add(job, 'leased', -job.ended)
  for _, name in ipairs(COUNTED) do job.changed[name] = true end
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

-- The worker holds nothing of these pages any more.
local function leave(n)
  local hosts = {}
  for _, place in pairs(places) do
    local job, host = place.of_job, place.host
    local ended = hosts[host] or {}
    hosts[host] = ended
    ended[job.host_limit] = (ended[job.host_limit] or 0) + place.ended
    job.ended, job.last_host = job.ended + place.ended, host
  end
  for first = 1, n, STEP do
    call('HDEL', leases_key(worker), unpack(tokens, first, math.min(first + STEP - 1, n)))
  end
  for host, ended in pairs(hosts) do host_leave(host, ended) end
end

local function run()
  find, sub, byte = string.find, string.sub, string.byte
  worker, jobs, order = ARGV[1], {}, {}
  places, unpacked, reasons, charged, heads, final_urls = {}, {}, {}, {}, {}, {}
  local n = read_pages()
  local ended, replies = read_leases(n), {}
  read_known(n)
  for i = 1, n do
    local status = commit_one(i)
    place_of[i] = false
    if status ~= 'ok' then replies[#replies + 1], replies[#replies + 2] = i, status end
  end
  if ended > 0 then
    leave(n)
    is_tidied_later = true
    for _, job in ipairs(order) do write_job(job) end
    call('HINCRBY', P .. 'totals', 'pages_committed', whole(ended))
    remove_expired(8 + #order)
  end
  return replies
end

return run
