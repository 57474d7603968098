#!lua
-- Lease pages to a worker: whose turn it is, within budgets and politeness. Also does, bounded,
-- what time has made due: promotion, expiry, reclaim, wake-ups. Repeatable by its request id.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 request id, 3 pages wanted, 4 free job slots, 5 jobs that may be
--         fetched ahead, 6 jobs beyond the slots for another customer's turn, 7 lease ms,
--         8 horizon ms (a page may start this much later), 9 pools (JSON), 10.. jobs held
-- Reply   {now ms, next due ms (0 = nothing known), pages, jobs, gone}
--         pages: {token, job, url, depth, attempt, found on, start at ms, contended, extra,
--                suspect (1: to be handled alone)}
--         jobs:  {id, spec, site, attempt, customer, seq} for each job not among those held
--         gone:  held jobs whose leases are void (ended, or delayed until their next attempt); a
--                paused job's are not: what is leased of it is fetched and committed
local worker, request = ARGV[1], ARGV[2]
local want, slots, ahead, spare = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local horizon = tonumber(ARGV[8])
local pools = cjson.decode(ARGV[9])
local LOOKS, HOUSEKEEPING = 64, 64
local QUANTUM = 4   -- pages a turn, while others wait for theirs

local held, held_before, taken = {}, {}, {}
local tokens, fresh = {}, {}
local has_more = false   -- the looks were used up before the wants: ask again at once

local function housekeeping()
  reclaim_expired(1)
  promote_delayed(HOUSEKEEPING)
  expire_jobs(8)
  wake_due_hosts(HOUSEKEEPING)
  remove_expired(8)
end

local function activate(id, customer, f)
  job_move(id, 'waiting', 'active')
  call('HSETNX', job_key(id), 'started_at', NOW)
  call('HINCRBY', job_key(id), 'attempt', 1)
  call('ZADD', P .. 'deadlines', NOW + number_of(f.max_duration_ms), id)
  emit('workerActive', id, customer, {workerId = worker_name(worker)})
end

-- Up to `n` pages of the lane that are still queued, from its front: URLs and pages.
local function pop_pages(id, host, n)
  local urls, pages = {}, {}
  for _ = 1, 8 do
    local popped = call('LPOP', lane_key(id, host), n - #urls)
    if not popped then break end
    local packed = call('HMGET', pages_key(id), unpack(popped))
    for i, url in ipairs(popped) do
      local page = page_unpack(packed[i])
      if page and page.state == 'q' then
        urls[#urls + 1] = url
        pages[#pages + 1] = page
      end
    end
    if #urls >= n then break end
  end
  return urls, pages
end

local function grant(id, job, host, urls, pages, start_at, f)
  local n = #urls
  if f.state == 'waiting' then activate(id, job.customer, f) end
  local last = call('HINCRBY', META, 'tokens', n)
  local leases, packed = {}, {}
  local suspects = f.suspects > 0 and call('HMGET', suspects_key(id), unpack(urls)) or {}
  -- Numbers may be given again after a failover that lost writes; request ids are not.
  local salt = '-' .. string.sub(request, 1, 8)
  local place = id .. ' ' .. host .. ' ' .. string.format('%.0f', start_at) .. ' '
  for i, url in ipairs(urls) do
    local page, token = pages[i], string.format('%.0f', last - n + i) .. salt
    page.attempts = whole(page.attempts + 1)
    packed[2 * i - 1], packed[2 * i] =
      url, page_pack('l', page.depth, page.parent, page.attempts, page.note)
    leases[2 * i - 1], leases[2 * i] = token, place .. url
    tokens[#tokens + 1] = token
    fresh[token] = {lease = {job = id, host = host, start_at = start_at, url = url}, page = page,
                    suspect = suspects[i] and 1 or 0}
  end
  call('HSET', pages_key(id), unpack(packed))
  call('HSET', leases_key(worker), unpack(leases))
  count(id, 'queued', -n)
  count(id, 'leased', n)
  count(id, 'fetches', n)
  host_enter(host, n, start_at, f.host_delay_ms)
  turns_charge(P .. 'ready:' .. job.pool, job.priority, job.customer, n)
  if call('EXISTS', lane_key(id, host)) == 0 then lane_end(id, job, host) end
  if call('HINCRBY', P .. 'job:' .. id .. ':holders', worker, n) == n then job_rerank(id, job) end
  taken[id] = (taken[id] or 0) + n
end

-- Try to lease up to `most` pages of a lane. One that can give none leaves the turnstile.
local function try_lane(lane, most)
  local id, host = string.match(lane, '^(%S+) (%S+)$')
  local v = fields(job_key(id), 'state', 'max_pages', 'done', 'leased', 'fetches', 'host_limit',
    'host_delay_ms', 'max_duration_ms', 'pool', 'priority', 'customer', 'seq', 'suspects')
  local job = {pool = v[9], priority = tonumber(v[10]), customer = v[11], seq = v[12]}
  local f = {state = v[1], host_delay_ms = number_of(v[7]), max_duration_ms = v[8],
             suspects = number_of(v[13])}
  if not may_lease(f.state) then return lane_remove(id, job, host) end
  local max_pages = number_of(v[2])
  local budget = math.min(max_pages - number_of(v[3]) - number_of(v[4]),
    fetch_bound(max_pages) - number_of(v[5]))
  if budget <= 0 then
    call('HSET', job_key(id), 'starved', 1)
    return lane_remove(id, job, host)
  end
  local places, at = host_gate(host, number_of(v[6]), f.host_delay_ms)
  if places <= 0 then return lane_park(id, job, host, nil) end
  if at > NOW + horizon then return lane_park(id, job, host, at) end
  local urls, pages = pop_pages(id, host, math.min(most, budget, places))
  if #urls > 0 then
    grant(id, job, host, urls, pages, math.max(at, NOW), f)
  elseif call('EXISTS', lane_key(id, host)) == 0 then
    lane_end(id, job, host)
  end
end

local function job_of_lane(lane) return (string.match(lane, '^(%S+) ')) end

local function is_before(one, other)
  if one.priority ~= other.priority then return one.priority > other.priority end
  if one.turn ~= other.turn then return one.turn < other.turn end
  return one.rank < other.rank
end

-- The lane whose turn it is over all pools of this worker; the turns of a customer are the same in
-- all of them, so that its jobs go by their rank.
local function head_of_pools()
  local best
  for _, pool in ipairs(pools) do
    local head = turns_head(P .. 'ready:' .. pool)
    if head and (not best or is_before(head, best)) then best = head end
  end
  if best then best.job = job_of_lane(best.lane) end
  return best
end

-- One of a job's lanes that is ready; with more than 64 open lanes it may miss one.
local function ready_lane(id, lanes)
  local names = call('SRANDMEMBER', hosts_key(id), 64)
  if #names == 0 then return nil end
  for i, host in ipairs(names) do names[i] = id .. ' ' .. host end
  for i, rank in ipairs(call('ZMSCORE', lanes, unpack(names))) do
    if rank then return names[i] end
  end
end

-- The best ready lane among the jobs that this worker holds: by priority, its customer's turn,
-- then the job that got the fewest pages in this call.
local function head_of_held()
  local best
  for id in pairs(held) do
    local job = load_place(id)
    if job.pool then
      local lanes = P .. 'ready:' .. job.pool .. '|' .. job.priority .. '|' .. job.customer
      local turn = number_of(call('HGET', P .. 'turns', job.priority .. ':' .. job.customer))
      local got = taken[id] or 0
      local better = not best or job.priority > best.priority or job.priority == best.priority and
        (turn < best.turn or turn == best.turn and got < best.got)
      if better then
        local lane = ready_lane(id, lanes)
        if lane then
          best = {priority = job.priority, customer = job.customer, turn = turn, got = got,
                  lane = lane, job = id}
        end
      end
    end
  end
  return best
end

-- Is it another customer's turn, with a job nobody works on?
local function turn_of_other(head, mine)
  return head.rank < RANK_STEP and head.customer ~= mine.customer and
    (head.priority > mine.priority or head.priority == mine.priority and head.turn < mine.turn)
end

local function choose()
  local head = head_of_pools()
  if not head then return nil end
  if held[head.job] and slots > 0 then return head end
  if slots > 0 then return head, 'slots' end
  local mine = head_of_held()
  if mine then
    if spare > 0 and not held[head.job] and turn_of_other(head, mine) then return head, 'spare' end
    return mine
  end
  if held[head.job] then return head end
  if ahead > 0 then return head, 'ahead' end
  return nil
end

-- All that is wanted at once while nobody else waits, else a turn.
local function quantum()
  local lanes = 0
  for _, pool in ipairs(pools) do
    local ready = P .. 'ready:' .. pool
    local top = call('ZRANGE', ready, 0, 1)
    for _, priority in ipairs(top) do
      for _, customer in ipairs(call('ZRANGE', ready .. '|' .. priority, 0, 1)) do
        lanes = lanes + call('ZCARD', ready .. '|' .. priority .. '|' .. customer)
        if lanes > 1 then return QUANTUM end
      end
    end
  end
  return want
end

local function lease()
  local turn = quantum()
  for _ = 1, LOOKS do
    if #tokens >= want then return end
    local pick, budget = choose()
    if not pick then return end
    local before = #tokens
    try_lane(pick.lane, math.min(turn, want - before))
    if #tokens > before and not held[pick.job] then
      held[pick.job] = true
      if budget == 'slots' then slots = slots - 1
      elseif budget == 'spare' then spare = spare - 1
      elseif budget == 'ahead' then ahead = ahead - 1 end
    end
  end
  has_more = #tokens < want
end

local parents, contention = {}, {}

local function found_on_of(id, parent)
  if parent == '-1' then return '' end
  local key = id .. ' ' .. parent
  parents[key] = parents[key] or call('LINDEX', job_key(id) .. ':recorded', parent) or ''
  return parents[key]
end

-- What the worker is told of a lease; nil when it ended since (a repeated request).
local function describe(token)
  local known = fresh[token]
  if not known then
    local packed = call('HGET', leases_key(worker), token)
    if not packed then return nil end
    local lease = lease_unpack(packed)
    known = {lease = lease, page = page_get(lease.job, lease.url),
             suspect = call('HEXISTS', suspects_key(lease.job), lease.url)}
  end
  local lease, page = known.lease, known.page
  local found_on = found_on_of(lease.job, page.parent)
  local contended = contention[lease.host] or call('EXISTS', P .. 'parked:' .. lease.host)
  contention[lease.host] = contended
  return {token, lease.job, lease.url, page.depth, page.attempts, found_on, lease.start_at,
          contended, page.note, known.suspect}
end

local function replies_for(granted)
  local pages, jobs, known = {}, {}, {}
  for _, token in ipairs(granted) do
    local page = describe(token)
    if page then
      pages[#pages + 1] = page
      local id = page[2]
      if not held_before[id] and not known[id] then
        known[id] = true
        local f = call('HMGET', job_key(id), 'spec', 'site', 'attempt', 'customer', 'seq')
        jobs[#jobs + 1] = {id, f[1], f[2] or '', f[3] or '0', f[4], f[5]}
      end
    end
  end
  return pages, jobs
end

local function next_due()
  if has_more then return NOW end
  local due = 0
  for _, key in ipairs({'delayed', 'hosts_due', 'workers', 'deadlines'}) do
    local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
    if first[2] and (due == 0 or tonumber(first[2]) < due) then due = tonumber(first[2]) end
  end
  return math.floor(due)
end

local gone = {}
for i = 10, #ARGV do
  local state = call('HGET', job_key(ARGV[i]), 'state')
  if state and may_lease(state) then
    held[ARGV[i]] = true
    held_before[ARGV[i]] = true
  elseif state ~= 'paused' then
    gone[#gone + 1] = ARGV[i]
  end
end
call('ZADD', P .. 'workers', NOW + tonumber(ARGV[7]), worker)
call('DEL', P .. 'wake:' .. worker)
local last = fields(worker_key(worker), 'request', 'granted')
if last[1] == request then
  for token in string.gmatch(last[2] or '', '%S+') do tokens[#tokens + 1] = token end
else
  housekeeping()
  if call('HGET', META, 'paused') ~= '1' then lease() end
  call('HSET', worker_key(worker), 'request', request, 'granted', table.concat(tokens, ' '),
    'pools', ARGV[9], 'seen_at', NOW)
end
for _, pool in ipairs(pools) do
  call(#tokens == 0 and 'SADD' or 'SREM', P .. 'idle:' .. pool, worker)
end
local pages, jobs = replies_for(tokens)
return {NOW, next_due(), pages, jobs, gone}
