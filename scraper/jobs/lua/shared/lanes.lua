-- Lanes and hosts: making a job's pages leasable, parking them under a busy host, waking them.
-- A lane's name is "<job> <host>"; its pages wait in the list `job:<id>:lane:<host>`.

local function rank_of(id, seq)
  return call('HLEN', P .. 'job:' .. id .. ':holders') * RANK_STEP + number_of(seq)
end

-- Make a lane leasable at once. `job` = {pool, priority, customer, seq}.
local function lane_ready(id, job, host)
  turns_add(P .. 'ready:' .. job.pool, job.priority, job.customer, id .. ' ' .. host,
    rank_of(id, job.seq))
end

-- Put a lane where it belongs: behind those that already wait for its host, else among the
-- ready ones. So 100,000 jobs on one slow host never stand in the way of a lease call.
local function lane_open(id, job, host)
  if call('EXISTS', P .. 'parked:' .. host) == 1 then
    turns_add(P .. 'parked:' .. host, job.priority, job.customer, id .. ' ' .. host,
      number_of(job.seq))
    return false
  end
  lane_ready(id, job, host)
  return true
end

local function lane_remove(id, job, host)
  local lane = id .. ' ' .. host
  if not turns_remove(P .. 'ready:' .. job.pool, job.priority, job.customer, lane) then
    turns_remove(P .. 'parked:' .. host, job.priority, job.customer, lane)
  end
end

-- A lane has no page left.
local function lane_end(id, job, host)
  lane_remove(id, job, host)
  call('SREM', hosts_key(id), host)
end

local function lane_waits(id, job, host)
  local place = '|' .. job.priority .. '|' .. job.customer
  local lane = id .. ' ' .. host
  return call('ZSCORE', P .. 'ready:' .. job.pool .. place, lane) or
    call('ZSCORE', P .. 'parked:' .. host .. place, lane)
end

local function load_place(id)
  local f = fields(job_key(id), 'pool', 'priority', 'customer', 'seq')
  return {pool = f[1], priority = tonumber(f[2]), customer = f[3], seq = f[4]}
end

-- All lanes of a job that have pages become leasable (after a pause, a spent budget, a retry).
local function job_lanes_ready(id, job)
  local hosts = call('SMEMBERS', hosts_key(id))
  for _, host in ipairs(hosts) do
    if call('EXISTS', lane_key(id, host)) == 1 and not lane_waits(id, job, host) then
      lane_open(id, job, host)
    end
  end
  wake_workers(job.pool, 16)
end

local function job_lanes_remove(id, job)
  for _, host in ipairs(call('SMEMBERS', hosts_key(id))) do lane_remove(id, job, host) end
end

-- The holders of a job changed: workers that hold none of it should see it later than a free one.
local function job_rerank(id, job)
  local rank = string.format('%.0f', rank_of(id, job.seq))
  local lanes = P .. 'ready:' .. job.pool .. '|' .. job.priority .. '|' .. job.customer
  local hosts = call('SMEMBERS', hosts_key(id))
  for first = 1, #hosts, 500 do
    local ranked = {}
    for i = first, math.min(first + 499, #hosts) do
      ranked[#ranked + 1] = rank
      ranked[#ranked + 1] = id .. ' ' .. hosts[i]
    end
    call('ZADD', lanes, 'XX', unpack(ranked))
  end
end

-- What a host asks of a job: how many of its pages may be fetched (none: a release will tell), from
-- when on (epoch in ms), and the time between two starts in ms. Of the job: its limit, its own delay
-- and its pace (`turbo` is spared the adaptive delay, `own` the Crawl-delay too; a pause nobody).
-- Last, its adaptive delay in ms (1: none, but it sent us away of late; 0: it is well).
local function host_gate(host, limit, delay_ms, pace)
  local f = fields(host_key(host), 'in_flight', 'next_at', 'paused_until', 'crawl_delay',
    'slow_delay', 'pushbacks')
  local at, delay = number_of(f[3]), delay_ms
  if f[4] and pace ~= 'own' then delay = math.max(delay, tonumber(f[4])) end
  if f[5] and pace == 'normal' then delay = math.max(delay, tonumber(f[5])) end
  if delay > 0 or pace == 'normal' then at = math.max(at, number_of(f[2])) end
  return limit - number_of(f[1]), at, delay, f[5] and tonumber(f[5]) or f[6] and 1 or 0
end

local PARK_CHECK_MS = 1000   -- a parked lane is looked at again at the latest after this
-- Parked lanes are woken before their host's next start, so that a worker has the page in time;
-- less than the horizon of a lease call, or they would be parked again.
local WAKE_AHEAD_MS = 100

local function lane_park(id, job, host, wake_at)
  local lane = id .. ' ' .. host
  turns_remove(P .. 'ready:' .. job.pool, job.priority, job.customer, lane)
  turns_add(P .. 'parked:' .. host, job.priority, job.customer, lane, number_of(job.seq))
  local due = wake_at and wake_at - WAKE_AHEAD_MS or NOW + PARK_CHECK_MS
  local known = call('ZSCORE', P .. 'hosts_due', host)
  if not known or tonumber(known) > due or tonumber(known) <= NOW then
    call('ZADD', P .. 'hosts_due', due, host)
  end
end

-- Move the lane whose turn it is from its busy host back to the ready ones.
local function host_wake_one(host)
  local head = turns_head(P .. 'parked:' .. host)
  if not head then
    call('ZREM', P .. 'hosts_due', host)
    return false
  end
  turns_remove(head.turnstile, head.priority, head.customer, head.lane)
  local id = string.match(head.lane, '^(%S+) ')
  local job = load_place(id)
  if job.pool then
    lane_ready(id, job, host)
    wake_workers(job.pool, 1)
  end
  return true
end

-- A worker may begin this much later than it was told, and not a fetch comes too close to the next.
local LATE_MOST_MS = 10

-- What lies between two starts of a host that asks for `delay_ms`.
local function spacing_of(delay_ms)
  return delay_ms + math.min(LATE_MOST_MS, math.ceil(delay_ms / 10))
end

-- `spacing` ms lie between the starts of `pages` fetches and to the next one (0: nothing does).
local function host_enter(host, pages, start_at, spacing)
  local key = host_key(host)
  if call('HINCRBY', key, 'in_flight', whole(pages)) == pages then call('PERSIST', key) end
  if spacing > 0 then call('HSET', key, 'next_at', text_of(start_at + pages * spacing)) end
end

-- One start at `start_at` that no lease was granted for; the host may have no page in flight.
local function host_take(host, start_at, delay)
  local key = host_key(host)
  local next_at = start_at + spacing_of(delay)
  call('HSET', key, 'next_at', next_at)
  local f = fields(key, 'in_flight', 'paused_until', 'pace_until')
  if number_of(f[1]) <= 0 then
    local last = math.max(next_at, number_of(f[2]), number_of(f[3]))
    call('PEXPIRE', key, last - NOW + 1000)
  end
end

-- Set (0: end) the Crawl-delay of a host for `ttl` ms; the fetch that brought it counts as a start.
-- http and https of a host have a file each: the longer delay counts for both.
local function host_pace(host, origin, delay, ttl)
  local key = host_key(host)
  local f = fields(key, 'in_flight', 'next_at', 'crawl_delay', 'crawl_delay_by', 'pace_until')
  local is_others = f[3] and f[4] ~= origin and number_of(f[5]) > NOW
  if is_others and tonumber(f[3]) >= delay then
    call('HSET', key, 'next_at', math.max(number_of(f[2]), NOW + tonumber(f[3])))
    return
  end
  if delay == 0 then
    call('HDEL', key, 'crawl_delay', 'crawl_delay_by', 'pace_until')
    return
  end
  call('HSET', key, 'crawl_delay', delay, 'crawl_delay_by', origin, 'pace_until', NOW + ttl,
    'next_at', math.max(number_of(f[2]), NOW + delay))
  if number_of(f[1]) <= 0 then call('PEXPIRE', key, ttl + 1000) end
end

local STRAIN_KEPT_MS = 60000   -- what was learnt of a host outlives its last fetch by this
local SLOW_LEAST_MS = 50       -- less is no delay
local PAUSE_MOST_MS = 300000

local function host_remember(key, until_at)
  local known = number_of(call('HGET', key, 'pace_until'))
  if until_at > known then call('HSET', key, 'pace_until', string.format('%.0f', until_at)) end
end

-- How a fetch went, as AutoThrottle judges it: `strain` > 0 is the delay in ms that the answer calls
-- for (it was slow, or failed): the adaptive delay rises to it at once. < 0: all is well; it falls
-- by a fifth.
local function host_strain(host, strain)
  local key = host_key(host)
  local slow = number_of(call('HGET', key, 'slow_delay'))
  if strain > 0 then
    slow = math.max(strain, (slow + strain) / 2)
    host_remember(key, NOW + STRAIN_KEPT_MS)
  else
    slow = slow * 0.8
    call('HDEL', key, 'pushbacks')
  end
  if slow < SLOW_LEAST_MS then
    call('HDEL', key, 'slow_delay')
  else
    call('HSET', key, 'slow_delay', math.floor(slow))
  end
end

-- The host sends us away (429, 503) for `ms`. < 0: it did not say for how long; then -ms, and twice
-- that at each further time, unless it did so while it was paused already.
local function host_pause(host, ms)
  local key = host_key(host)
  local known = number_of(call('HGET', key, 'paused_until'))
  if ms < 0 then
    if known > NOW then return end
    local times = call('HINCRBY', key, 'pushbacks', 1)
    ms = math.min(-ms * 2 ^ math.min(times - 1, 20), PAUSE_MOST_MS)
  end
  local until_at = math.max(known, NOW + ms)
  call('HSET', key, 'paused_until', string.format('%.0f', until_at))
  host_remember(key, until_at + STRAIN_KEPT_MS)
end

-- Wake parked lanes of a host at `at`, or up to `lanes` of them now when that time has come.
local function host_wake_at(host, at, lanes)
  if call('EXISTS', P .. 'parked:' .. host) == 0 then return end
  if at > NOW + WAKE_AHEAD_MS then
    call('ZADD', P .. 'hosts_due', at - WAKE_AHEAD_MS, host)
    return
  end
  call('ZADD', P .. 'hosts_due', NOW + PARK_CHECK_MS, host)
  for _ = 1, lanes do
    if not host_wake_one(host) then return end
  end
end

-- `pages` fetches of a host are over: as many parked lanes may go on.
local function host_leave(host, pages)
  local key = host_key(host)
  local left = call('HINCRBY', key, 'in_flight', whole(-pages))
  local f = fields(key, 'next_at', 'paused_until', 'pace_until')
  local at = math.max(number_of(f[1]), number_of(f[2]))
  if left <= 0 then
    local last = math.max(at, number_of(f[3]))
    if last <= NOW then call('DEL', key) else call('PEXPIRE', key, last - NOW + 1000) end
  end
  host_wake_at(host, at, pages)
end

-- Hosts whose time has come: wake one lane each, look again soon while more wait.
local function wake_due_hosts(bound)
  local due = call('ZRANGEBYSCORE', P .. 'hosts_due', '-inf', NOW, 'LIMIT', 0, bound)
  for _, host in ipairs(due) do
    if call('EXISTS', P .. 'parked:' .. host) == 0 then
      call('ZREM', P .. 'hosts_due', host)
    else
      local f = fields(host_key(host), 'next_at', 'paused_until')
      host_wake_at(host, math.max(number_of(f[1]), number_of(f[2])), 1)
    end
  end
end
