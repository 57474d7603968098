#!lua
-- Lease pages to a worker: whose turn it is, within budgets and politeness. Also does, bounded,
-- what time has made due: promotion, expiry, reclaim, wake-ups. Repeatable by its request id.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 request id, 3 pages wanted, 4 free job slots, 5 jobs that may be
--         fetched ahead, 6 jobs beyond the slots for another customer's turn, 7 lease ms,
--         8 horizon ms (a page may start this much later), 9 pools (JSON), 10.. jobs held
-- Reply   {now ms, next due ms (0 = nothing known), pages, jobs, gone}
--         pages: {token, job, url, depth, attempt, found on, start at ms, contended, extra}
--         jobs:  {id, spec, site, attempt, recorded start} for each job not among those held
--         gone:  held jobs that are no longer worked on (cancelled, finished, paused)
local worker, request = ARGV[1], ARGV[2]
local want, slots, ahead, spare = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local horizon = tonumber(ARGV[8])
local pools = cjson.decode(ARGV[9])
local LOOKS, HOUSEKEEPING = 64, 64

local held, held_before, taken = {}, {}, {}
local tokens = {}

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

-- The first page of the lane that is still queued; nil when the lane is empty.
local function pop_page(id, host)
  for _ = 1, 32 do
    local url = call('LPOP', lane_key(id, host))
    if not url then return nil end
    local page = page_get(id, url)
    if page and page.state == 'q' then return url, page end
  end
end

local function grant(id, job, host, url, page, start_at, f)
  if f.state == 'waiting' then activate(id, job.customer, f) end
  local token = tostring(call('HINCRBY', META, 'tokens', 1))
  page.attempts = page.attempts + 1
  page_set(id, url, 'l', page, page.note)
  call('HSET', leases_key(worker), token, id .. ' ' .. host .. ' ' .. start_at .. ' ' .. url)
  count(id, 'queued', -1)
  count(id, 'leased', 1)
  count(id, 'fetches', 1)
  host_enter(host, start_at, f.host_delay_ms)
  turns_charge(P .. 'ready:' .. job.pool, job.priority, job.customer)
  if call('EXISTS', lane_key(id, host)) == 0 then lane_remove(id, job, host) end
  if call('HINCRBY', P .. 'job:' .. id .. ':holders', worker, 1) == 1 then job_rerank(id, job) end
  tokens[#tokens + 1] = token
  taken[id] = (taken[id] or 0) + 1
end

-- Try to lease one page of a lane. A lane that cannot give one leaves the turnstile.
local function try_lane(lane)
  local id, host = string.match(lane, '^(%S+) (%S+)$')
  local v = fields(job_key(id), 'state', 'max_pages', 'done', 'leased', 'fetches', 'host_limit',
    'host_delay_ms', 'max_duration_ms', 'pool', 'priority', 'customer', 'seq')
  local job = {pool = v[9], priority = tonumber(v[10]), customer = v[11], seq = v[12]}
  local f = {state = v[1], host_delay_ms = number_of(v[7]), max_duration_ms = v[8]}
  if not may_lease(f.state) then return lane_remove(id, job, host) end
  local max_pages = number_of(v[2])
  if number_of(v[3]) + number_of(v[4]) >= max_pages or number_of(v[5]) >= fetch_bound(max_pages) then
    call('HSET', job_key(id), 'starved', 1)
    return lane_remove(id, job, host)
  end
  local at = host_gate(host, number_of(v[6]), f.host_delay_ms)
  if not at or at > NOW + horizon then return lane_park(id, job, host, at) end
  local url, page = pop_page(id, host)
  if url then
    grant(id, job, host, url, page, math.max(at, NOW), f)
  elseif call('EXISTS', lane_key(id, host)) == 0 then
    lane_remove(id, job, host)
  end
end

local function job_of_lane(lane) return (string.match(lane, '^(%S+) ')) end

-- The lane whose turn it is over all pools of this worker.
local function head_of_pools()
  local best
  for _, pool in ipairs(pools) do
    local head = turns_head(P .. 'ready:' .. pool)
    if head and (not best or head.priority > best.priority or
        head.priority == best.priority and head.turn < best.turn) then best = head end
  end
  if best then best.job = job_of_lane(best.lane) end
  return best
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
        local hosts = call('SRANDMEMBER', hosts_key(id), 8)
        for _, host in ipairs(hosts) do
          local lane = id .. ' ' .. host
          if call('ZSCORE', lanes, lane) then
            best = {priority = job.priority, customer = job.customer, turn = turn, got = got,
                    lane = lane, job = id}
            break
          end
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
  if ahead > 0 and not held[head.job] then return head, 'ahead' end
  return nil
end

local function lease()
  for _ = 1, LOOKS do
    if #tokens >= want then break end
    local pick, budget = choose()
    if not pick then break end
    local before = #tokens
    try_lane(pick.lane)
    if #tokens > before and not held[pick.job] then
      held[pick.job] = true
      if budget == 'slots' then slots = slots - 1
      elseif budget == 'spare' then spare = spare - 1
      elseif budget == 'ahead' then ahead = ahead - 1 end
    end
  end
end

local function describe(token)
  local lease = lease_unpack(call('HGET', leases_key(worker), token))
  local page = page_get(lease.job, lease.url)
  local found_on = ''
  if page.parent >= 0 then
    found_on = call('LINDEX', job_key(lease.job) .. ':recorded', page.parent) or ''
  end
  local contended = call('EXISTS', P .. 'parked:' .. lease.host)
  return {token, lease.job, lease.url, page.depth, page.attempts, found_on, lease.start_at,
          contended, page.note}
end

local function replies_for(granted)
  local pages, jobs, known = {}, {}, {}
  for _, token in ipairs(granted) do
    if call('HEXISTS', leases_key(worker), token) == 1 then
      pages[#pages + 1] = describe(token)
      local id = pages[#pages][2]
      if not held_before[id] and not known[id] then
        known[id] = true
        local f = call('HMGET', job_key(id), 'spec', 'site', 'attempt', 'customer')
        jobs[#jobs + 1] = {id, f[1], f[2] or '', f[3] or '0', f[4]}
      end
    end
  end
  return pages, jobs
end

local function next_due()
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
  else
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
