-- Lanes and hosts: making a job's pages leasable, parking them under a busy host, waking them.
-- A lane's name is "<job> <host>"; its pages wait in the list `job:<id>:lane:<host>`.

local function rank_of(id, seq)
  return call('HLEN', P .. 'job:' .. id .. ':holders') * RANK_STEP + number_of(seq)
end

-- Parked lanes wait in groups by all that decides whether they may go on, so that one that may not is
-- never in the way of one that may. The name of a group is a number: the priority + 10,000 x the
-- job's limit of the host (+ 10^8 where the job keeps no delay). Releases that know no limits take it
-- for a priority; a group of theirs is a mere priority, and any lane of it may try. Where they find
-- no lane to remove, it is removed when it was woken.
local LIMIT_STEP, HASTY = 10000, 10 ^ 8

local function parked_group(id, job)
  if not job.group then
    local limit, delay, pace = job.host_limit, job.host_delay_ms, job.pace
    if not pace then
      local f = fields(job_key(id), 'host_limit', 'host_delay_ms', 'pace')
      limit, delay, pace = f[1], f[2], f[3]
    end
    local is_hasty = pace ~= 'normal' and number_of(delay) == 0
    job.group = whole(job.priority + LIMIT_STEP * number_of(limit) + (is_hasty and HASTY or 0))
  end
  return job.group
end

local function parked_group_read(group)
  local number = number_in(group)
  local is_hasty = number > HASTY / 2
  if is_hasty then number = number - HASTY end
  local limit = math.floor(number / LIMIT_STEP + 0.5)
  return number - LIMIT_STEP * limit, limit, is_hasty
end

-- Make a lane leasable at once. `job` = {pool, priority, customer, seq}.
local function lane_ready(id, job, host)
  turns_add(P .. 'ready:' .. job.pool, job.priority, job, id .. ' ' .. host, rank_of(id, job.seq))
end

local function parked_groups(host) return call('ZRANGE', P .. 'parked:' .. host, '0', '-1') end

-- Whether lanes wait for a host that want the places which this job might have: those with a narrower
-- limit do not want the ones beyond it.
local function is_waited_for(id, job, host)
  local groups = parked_groups(host)
  if #groups == 0 then return false end
  local _, limit = parked_group_read(parked_group(id, job))
  for _, group in ipairs(groups) do
    local _, others = parked_group_read(group)
    if others == 0 or others >= limit then return true end
  end
  return false
end

-- Put a lane where it belongs: behind those that already wait for its host, else among the
-- ready ones. So 100,000 jobs on one slow host never stand in the way of a lease call.
local function lane_open(id, job, host)
  if is_waited_for(id, job, host) then
    turns_add(P .. 'parked:' .. host, parked_group(id, job), job, id .. ' ' .. host, number_of(job.seq))
    return false
  end
  lane_ready(id, job, host)
  return true
end

local function lane_remove(id, job, host)
  local lane, parked = id .. ' ' .. host, P .. 'parked:' .. host
  if not turns_remove(P .. 'ready:' .. job.pool, job.priority, job.customer, lane) and
    not turns_remove(parked, parked_group(id, job), job.customer, lane) then
    turns_remove(parked, job.priority, job.customer, lane)
  end
end

-- A lane has no page left.
local function lane_end(id, job, host)
  lane_remove(id, job, host)
  call('SREM', hosts_key(id), host)
end

local function lane_waits(id, job, host)
  local place = '|' .. job.priority .. '|' .. job.customer
  local lane, parked = id .. ' ' .. host, P .. 'parked:' .. host
  return call('ZSCORE', P .. 'ready:' .. job.pool .. place, lane) or
    call('ZSCORE', parked .. '|' .. parked_group(id, job) .. '|' .. job.customer, lane) or
    call('ZSCORE', parked .. place, lane)
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

-- What a host asks of a job: its crowd, from when on pages may be fetched (epoch in ms), and the time
-- between two starts in ms. Of the job: its own delay and its pace (`turbo` is spared the adaptive
-- delay, `own` the Crawl-delay too; a pause nobody).
-- Last, its adaptive delay in ms (1: none, but it sent us away of late; 0: it is well).
local function host_gate(host, delay_ms, pace)
  local f = fields(host_key(host), 'in_flight', 'by_limit', 'next_at', 'paused_until',
    'crawl_delay', 'slow_delay', 'pushbacks')
  local at, delay = number_of(f[4]), delay_ms
  if f[5] and pace ~= 'own' then delay = math.max(delay, tonumber(f[5])) end
  if f[6] and pace == 'normal' then delay = math.max(delay, tonumber(f[6])) end
  if delay > 0 or pace == 'normal' then at = math.max(at, number_of(f[3])) end
  return crowd_read(f[1], f[2]), at, delay, f[6] and tonumber(f[6]) or f[7] and 1 or 0
end

local PARK_CHECK_MS = 1000   -- a parked lane is looked at again at the latest after this
-- Parked lanes are woken before their host's next start, so that a worker has the page in time;
-- less than the horizon of a lease call, or they would be parked again.
local WAKE_AHEAD_MS = 100

local function lane_park(id, job, host, wake_at)
  local lane = id .. ' ' .. host
  turns_remove(P .. 'ready:' .. job.pool, job.priority, job.customer, lane)
  turns_add(P .. 'parked:' .. host, parked_group(id, job), job, lane, number_of(job.seq))
  local due = wake_at and wake_at - WAKE_AHEAD_MS or NOW + PARK_CHECK_MS
  local known = call('ZSCORE', P .. 'hosts_due', host)
  if not known or tonumber(known) > due or tonumber(known) <= NOW then
    call('ZADD', P .. 'hosts_due', due, host)
  end
end

-- Of the lanes in these groups for which a host has places, the one whose turn it is; nil when there
-- is none. `is_early`: only of jobs that keep no delay.
local function parked_head(host, groups, crowd, is_early)
  local turnstile, best = P .. 'parked:' .. host, nil
  for _, group in ipairs(groups) do
    local priority, limit, is_hasty = parked_group_read(group)
    if best and priority < best.priority then break end
    if (limit == 0 or crowd_places(crowd, limit) > 0) and (is_hasty or not is_early) then
      local head = turns_head_of(turnstile, group, priority)
      head.limit = limit
      if not best or turn_is_before(head, best) then best = head end
    end
  end
  return best
end

-- Move the lane whose turn it is from its busy host back to the ready ones, and count it in the crowd.
local function host_wake_one(host, groups, crowd, is_early)
  local head = parked_head(host, groups, crowd, is_early)
  if not head then return false end
  turns_remove(head.turnstile, head.group, head.customer, head.lane)
  local id = string.match(head.lane, '^(%S+) ')
  local job = load_place(id)
  if job.pool then
    lane_ready(id, job, host)
    wake_workers(job.pool, 1)
    crowd_join(crowd, head.limit, 1)
  end
  return true
end

-- A worker may begin this much later than it was told, and not a fetch comes too close to the next.
local LATE_MOST_MS = 10

-- What lies between two starts of a host that asks for `delay_ms`.
local function spacing_of(delay_ms)
  return delay_ms + math.min(LATE_MOST_MS, math.ceil(delay_ms / 10))
end

-- `pages` fetches of a job with this limit; `spacing` ms lie between their starts and to the next one
-- (0: nothing does). `crowd` is the host's.
local function host_enter(host, crowd, limit, pages, start_at, spacing)
  local key, was_empty = host_key(host), crowd.total == 0
  crowd_join(crowd, limit, pages)
  local total, by_limit = whole(crowd.total), crowd_text(crowd)
  if spacing > 0 then
    local next_at = text_of(start_at + pages * spacing)
    call('HSET', key, 'in_flight', total, 'by_limit', by_limit, 'next_at', next_at)
  else
    call('HSET', key, 'in_flight', total, 'by_limit', by_limit)
  end
  if was_empty then call('PERSIST', key) end
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
-- for (it was slow, or failed): the adaptive delay rises to it at once. < 0: all is well; it halves.
local function host_strain(host, strain)
  local key = host_key(host)
  local slow = number_of(call('HGET', key, 'slow_delay'))
  if strain > 0 then
    slow = math.max(strain, (slow + strain) / 2)
    host_remember(key, NOW + STRAIN_KEPT_MS)
  else
    slow = slow / 2
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

-- Wake up to `lanes` parked lanes of a host: now those for which it has places, and at their time
-- those that keep its delays. `f` = {next_at, paused_until, crawl_delay}. False when none is parked.
local function host_wake(host, crowd, lanes, f)
  local groups = parked_groups(host)
  if #groups == 0 then return false end
  local hasty_at = number_of(f[2])
  local at = math.max(number_of(f[1]), hasty_at)
  if f[3] then hasty_at = at end
  local is_early = at > NOW + WAKE_AHEAD_MS
  call('ZADD', P .. 'hosts_due', is_early and at - WAKE_AHEAD_MS or NOW + PARK_CHECK_MS, host)
  if hasty_at > NOW + WAKE_AHEAD_MS then return true end
  for lane = 1, lanes do
    if lane > 1 then groups = parked_groups(host) end
    if #groups == 0 then call('ZREM', P .. 'hosts_due', host) end
    if not host_wake_one(host, groups, crowd, is_early) then break end
  end
  return true
end

-- Fetches of a host are over, `ended` by the limits of their jobs: as many parked lanes may go on.
local function host_leave(host, ended)
  local key = host_key(host)
  local f = fields(key, 'next_at', 'paused_until', 'crawl_delay', 'pace_until', 'in_flight',
    'by_limit')
  local crowd, fetches = crowd_read(f[5], f[6]), 0
  for limit, n in pairs(ended) do
    crowd_leave(crowd, limit, n)
    fetches = fetches + n
  end
  local last = math.max(number_of(f[1]), number_of(f[2]), number_of(f[4]))
  if crowd.total == 0 and last <= NOW then
    call('DEL', key)
  else
    call('HSET', key, 'in_flight', whole(crowd.total), 'by_limit', crowd_text(crowd))
    if crowd.total == 0 then call('PEXPIRE', key, last - NOW + 1000) end
  end
  host_wake(host, crowd, fetches, f)
end

-- Hosts whose time has come: wake one lane each, look again soon while more wait.
local function wake_due_hosts(bound)
  local due = call('ZRANGEBYSCORE', P .. 'hosts_due', '-inf', NOW, 'LIMIT', 0, bound)
  for _, host in ipairs(due) do
    local f = fields(host_key(host), 'next_at', 'paused_until', 'crawl_delay', 'in_flight', 'by_limit')
    if not host_wake(host, crowd_read(f[4], f[5]), 1, f) then call('ZREM', P .. 'hosts_due', host) end
  end
end
