#!lua
-- Lease pages to a worker: whose turn it is, within budgets and politeness. Also does, bounded,
-- what time has made due: promotion, expiry, reclaim, wake-ups. Repeatable by its request id.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 request id, 3 pages wanted, 4 free job slots, 5 jobs that may be
--         fetched ahead, 6 jobs beyond the slots for another customer's turn, 7 lease ms,
--         8 horizon ms (a page may start this much later), 9 pools (JSON), 10.. jobs held
-- Reply   {now ms, next due ms (0 = nothing known, or all wants filled), pages, jobs, gone}
--         pages: four texts for each: token; its lease (see pages.lua); found on; "<contended: 1 when
--                others wait for its host> <suspect: 1 when to be handled alone> <ms between two
--                starts at its host>[ <the host's strain>]"
--         jobs:  {id, spec, site, attempt, customer, seq} for each job not among those held
--         gone:  held jobs whose leases are void (ended, or delayed until their next attempt); a
--                paused job's are not: what is leased of it is fetched and committed
local LOOKS, HOUSEKEEPING = 64, 64
local QUANTUM = 4   -- pages a turn, while others wait for theirs

-- What one call knows, set by `run`.
local worker, request, want, slots, ahead, spare, horizon, pools
local held, held_before, taken
local jobs, states, parents   -- what was read, by job, by packed state of a page, by record
-- `told` is four values a page; `grants` says of which job and host each run of them is.
local tokens, leases, told, grants
local granted, token_base
local has_more   -- the looks were used up before the wants: ask again at once

-- When the first entry of a clock is due; nil when there is none.
local function due_of(clock_key)
  return tonumber(call('ZRANGE', P .. clock_key, '0', '0', 'WITHSCORES')[2])
end

local function is_due(clock_key)
  local due = due_of(clock_key)
  return due and due <= NOW
end

local function housekeeping()
  if is_due('workers') then reclaim_expired(1) end
  if is_due('delayed') then promote_delayed(HOUSEKEEPING) end
  if is_due('deadlines') then expire_jobs(8) end
  if is_due('hosts_due') then wake_due_hosts(HOUSEKEEPING) end
  if is_due('expiries') then remove_expired(8) end
end

-- A job that is looked at: read once a call, written at its end.
local function job_of(id)
  local job = jobs[id]
  if not job then
    job = job_load(id, LEASE_FIELDS)
    jobs[id] = job
  end
  return job
end

local function activate(job)
  call('ZREM', P .. 'jobs:waiting', job.id)
  call('ZADD', P .. 'jobs:active', NOW_TEXT, job.id)
  call('ZADD', P .. 'deadlines', NOW + job.max_duration_ms, job.id)
  job_put(job, 'state', 'active')
  if not job.started_at then job_put(job, 'started_at', NOW_TEXT) end
  job_add(job, 'attempt', 1)
  emit('workerActive', job.id, job.customer, {workerId = worker_name(worker)})
end

-- A page's packed state, read: what its lease and its state as leased are made of.
local function read_state(packed)
  local known = page_unpack(packed)
  known.attempts = whole(known.attempts + 1)
  known.is_queued = known.state == 'q'
  known.text = known.depth .. ' ' .. known.parent .. ' ' .. known.attempts ..
    (known.note ~= '' and ' ' .. known.note or '')
  known.leased = 'l ' .. known.text
  states[packed] = known
  return known
end

-- Up to `n` pages of the lane that are still queued, from its front: URLs and their states.
local function pop_pages(id, host, n)
  local urls, pages, n_found = {}, {}, 0
  for _ = 1, 8 do
    local popped = call('LPOP', lane_key(id, host), whole(n - n_found))
    if not popped then break end
    for i, packed in ipairs(call('HMGET', pages_key(id), unpack(popped))) do
      local page = packed and (states[packed] or read_state(packed))
      if page and page.is_queued then
        n_found = n_found + 1
        urls[n_found], pages[n_found] = popped[i], page
      end
    end
    if n_found >= n then break end
  end
  return urls, pages
end

local function found_on_of(id, parent)
  local of_job = parents[id]
  if not of_job then
    of_job = {}
    parents[id] = of_job
  end
  local url = of_job[parent]
  if not url then
    url = found_on_get(id, parent)
    of_job[parent] = url
  end
  return url
end

-- Tokens are "<number of the call>.<page>-<request>". The number may be given again after a failover
-- that lost writes; request ids are not.
local function new_token()
  if not token_base then
    token_base = whole(call('HINCRBY', META, 'tokens', '1')) .. '-' .. string.sub(request, 1, 8) .. '.'
  end
  granted = granted + 1
  tokens[granted] = token_base .. whole(granted)
  return tokens[granted]
end

-- Add to the reply what the worker is told of a page. Its terms are filled in at the end.
local function tell(token, lease, found_on, is_suspect)
  local n = #told
  told[n + 1], told[n + 2], told[n + 3], told[n + 4] = token, lease, found_on, is_suspect
end

-- A host's delay, and its strain where there is any, for the worker.
local function delays_text(delay, strain)
  return strain > 0 and whole(delay) .. ' ' .. whole(strain) or whole(delay)
end

-- At least `delay` ms lie between the starts of two pages.
local function grant(job, host, crowd, urls, pages, start_at, delay, strain)
  local n, id, spacing = #urls, job.id, spacing_of(delay)
  if job.state == 'waiting' then activate(job) end
  local suspects = job.suspects > 0 and call('HMGET', suspects_key(id), unpack(urls)) or {}
  local start_text = whole(start_at)
  local place = ' ' .. id .. ' ' .. host .. ' '
  local packed, at = {}, #leases
  for i = 1, n do
    local url, page, token = urls[i], pages[i], new_token()
    if delay > 0 then start_text = whole(start_at + (i - 1) * spacing) end
    packed[2 * i - 1], packed[2 * i] = url, page.leased
    local lease = url .. place .. start_text .. ' ' .. page.text
    leases[at + 1], leases[at + 2] = token, lease
    at = at + 2
    tell(token, lease, found_on_of(id, page.parent), suspects[i] or false)
  end
  grants[#grants + 1] = {job = id, host = host, delays = delays_text(delay, strain), last = #told}
  call('HSET', pages_key(id), unpack(packed))
  job_add(job, 'queued', -n)
  job_add(job, 'leased', n)
  job_add(job, 'fetches', n)
  host_enter(host, crowd, job.host_limit, n, start_at, spacing)
  turns_charge(P .. 'ready:' .. job.pool, job.priority, job.customer, n)
  if call('EXISTS', lane_key(id, host)) == 0 then lane_end(id, job, host) end
  if call('HINCRBY', P .. 'job:' .. id .. ':holders', worker, whole(n)) == n then
    job_rerank(id, job)
  end
  taken[id] = (taken[id] or 0) + n
end

-- Try to lease up to `most` pages of a lane. One that can give none leaves the turnstile.
local function try_lane(lane, most)
  local id, host = string.match(lane, '^(%S+) (%S+)$')
  local job = job_of(id)
  if not may_lease(job.state) then return lane_remove(id, job, host) end
  local budget = budget_of(job)
  if budget <= 0 then
    job_put(job, 'starved', '1')
    return lane_remove(id, job, host)
  end
  local crowd, at, delay, strain = host_gate(host, job.host_delay_ms, job.pace)
  local places = crowd_places(crowd, job.host_limit)
  if places <= 0 then
    lane_park(id, job, host, nil)
    -- It was perhaps woken for a place that only a wider limit leaves: that is another's then.
    if crowd_has_room(crowd) then
      host_wake_one(host, parked_groups(host), crowd, at > NOW + WAKE_AHEAD_MS)
    end
    return
  end
  if at > NOW + horizon then return lane_park(id, job, host, at) end
  local first = math.max(at, NOW)
  if delay > 0 then
    places = math.min(places, math.floor((NOW + horizon - first) / spacing_of(delay)) + 1)
  end
  local urls, pages = pop_pages(id, host, math.min(most, budget, places))
  if #urls > 0 then
    grant(job, host, crowd, urls, pages, first, delay, strain)
  elseif call('EXISTS', lane_key(id, host)) == 0 then
    lane_end(id, job, host)
  end
end

local function job_of_lane(lane) return (string.match(lane, '^(%S+) ')) end

-- The lane whose turn it is over all pools of this worker; the turns of a customer are the same in
-- all of them, so that its jobs go by their rank.
local function head_of_pools()
  local best, heads = nil, 0
  for _, pool in ipairs(pools) do
    local head = turns_head(P .. 'ready:' .. pool)
    if head then heads = heads + 1 end
    if head and (not best or turn_is_before(head, best)) then best = head end
  end
  if not best then return nil end
  best.job, best.is_alone = job_of_lane(best.lane), best.is_alone and heads == 1
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
    local job = job_of(id)
    -- Without a page to give there is no use in looking for its lanes.
    if job.queued > 0 and budget_of(job) > 0 then
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

local function choose(head)
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

local function lease()
  local turn
  for _ = 1, LOOKS do
    if #tokens >= want then return end
    local head = head_of_pools()
    if not head then return end
    -- All that is wanted at once while nobody else waits, else a turn.
    turn = turn or head.is_alone and want or QUANTUM
    local pick, budget = choose(head)
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

-- A repeated request: what it was granted and still holds.
local function tell_again(text)
  for token in string.gmatch(text, '%S+') do
    tokens[#tokens + 1] = token
    local packed = call('HGET', leases_key(worker), token)
    if packed then
      local lease = lease_unpack(packed)
      local job = job_load(lease.job, LEASE_FIELDS)
      local suspect = call('HEXISTS', suspects_key(lease.job), lease.url) == 1
      local _, _, delay, strain = host_gate(lease.host, job.host_delay_ms, job.pace)
      tell(token, packed, found_on_of(lease.job, lease.page.parent), suspect)
      grants[#grants + 1] = {job = lease.job, host = lease.host, delays = delays_text(delay, strain),
                             last = #told}
    end
  end
end

-- Fill in the terms of each page, and tell of the jobs that are new to the worker.
local function new_jobs_told()
  local new_jobs, known, contention, at = {}, {}, {}, 4
  for _, run in ipairs(grants) do
    local id, host = run.job, run.host
    if not contention[host] then
      contention[host] = call('EXISTS', P .. 'parked:' .. host) == 1 and '1' or '0'
    end
    local terms = contention[host] .. ' 0 ' .. run.delays
    for place = at, run.last, 4 do
      told[place] = told[place] and contention[host] .. ' 1 ' .. run.delays or terms
    end
    at = run.last + 4
    if not held_before[id] and not known[id] then
      known[id] = true
      local f = call('HMGET', job_key(id), 'spec', 'site', 'attempt', 'customer', 'seq')
      new_jobs[#new_jobs + 1] = {id, f[1], f[2] or '', f[3] or '0', f[4], f[5]}
    end
  end
  return new_jobs
end

-- When to ask again; of no use to a worker that got all that it wanted.
local function next_due()
  if has_more then return NOW end
  if #tokens >= want then return 0 end
  local first = 0
  for _, clock_key in ipairs({'delayed', 'hosts_due', 'workers', 'deadlines'}) do
    local due = due_of(clock_key)
    if due and (first == 0 or due < first) then first = due end
  end
  return math.floor(first)
end

local function write()
  for first = 1, #leases, 1000 do
    call('HSET', leases_key(worker), unpack(leases, first, math.min(first + 999, #leases)))
  end
  for _, job in pairs(jobs) do job_save(job) end
end

local function start()
  worker, request = ARGV[1], ARGV[2]
  want, slots, ahead, spare = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
  horizon, pools = tonumber(ARGV[8]), cjson.decode(ARGV[9])
  held, held_before, taken, jobs, states, parents = {}, {}, {}, {}, {}, {}
  tokens, leases, told, grants, granted, token_base, has_more = {}, {}, {}, {}, 0, nil, false
end

local function run()
  start()
  call('ZADD', P .. 'workers', NOW + tonumber(ARGV[7]), worker)
  call('DEL', P .. 'wake:' .. worker)
  local last = fields(worker_key(worker), 'request', 'granted', 'idle')
  local is_new = last[1] ~= request
  if is_new then housekeeping() end
  local gone = {}
  for i = 10, #ARGV do
    local job = job_of(ARGV[i])
    if job and may_lease(job.state) then
      held[job.id] = true
      held_before[job.id] = true
    elseif not job or job.state ~= 'paused' then
      gone[#gone + 1] = ARGV[i]
    end
  end
  if is_new then
    if call('HGET', META, 'paused') ~= '1' then lease() end
    write()
    call('HSET', worker_key(worker), 'request', request, 'granted', table.concat(tokens, ' '),
      'pools', ARGV[9], 'seen_at', NOW_TEXT)
  else
    tell_again(last[2] or '')
  end
  -- A worker that got something waits for more only while it may take on another job.
  local is_waiting = #tokens == 0 or #tokens < want and slots + ahead + spare > 0
  if is_waiting or last[3] ~= '0' then
    for _, pool in ipairs(pools) do
      call(is_waiting and 'SADD' or 'SREM', P .. 'idle:' .. pool, worker)
    end
    call('HSET', worker_key(worker), 'idle', is_waiting and '1' or '0')
  end
  local new_jobs = new_jobs_told()
  return {NOW, next_due(), told, new_jobs, gone}
end

return run
