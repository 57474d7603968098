#!lua
-- Accept jobs: each enters waiting (or delayed) with its start page queued. Same id = same job.
-- KEYS[1] string `{queue}:meta`
-- ARGV    per job 16 values: id, spec (JSON), type, pool, customer, priority, canonical start URL,
--         maxPages, maxDuration ms, attempts, backoff type, backoff ms, delay ms,
--         "hostLimit hostDelayMs pace", result TTL ms, claim id ("" = none)
-- Reply   per job 1 accepted, 0 known already (a repeated submit: changes nothing); an error, and
--         nothing is accepted, when a start URL has no host
local replies, accepted = {}, 0
for a = 1, #ARGV, 16 do
  if not host_of(ARGV[a + 6]) then
    return redis.error_reply('ERR no host in the start URL ' .. ARGV[a + 6])
  end
end

local function accept(a)
  local id, key = ARGV[a], job_key(ARGV[a])
  if ARGV[a + 15] ~= '' then call('HDEL', P .. 'claimed', ARGV[a + 15]) end
  if call('EXISTS', key) == 1 then return 0 end
  local pool, customer, priority = ARGV[a + 3], ARGV[a + 4], tonumber(ARGV[a + 5])
  local url = ARGV[a + 6]
  local host = host_of(url)
  local delay = tonumber(ARGV[a + 12])
  local seq = call('HINCRBY', META, 'jobs', 1)
  local state = delay > 0 and 'delayed' or 'waiting'
  local limit, host_delay, pace = string.match(ARGV[a + 13], '^(%d+) (%d+) (%a+)$')
  call('HSET', key, 'spec', ARGV[a + 1], 'type', ARGV[a + 2], 'pool', pool,
    'customer', customer, 'priority', priority, 'seq', seq, 'start_url', url,
    'max_pages', ARGV[a + 7], 'max_duration_ms', ARGV[a + 8], 'attempts', ARGV[a + 9],
    'backoff_type', ARGV[a + 10], 'backoff_ms', ARGV[a + 11], 'host_limit', limit,
    'host_delay_ms', host_delay, 'pace', pace, 'result_ttl_ms', ARGV[a + 14], 'submitted_at', NOW,
    'attempt', 0, 'known', 1, 'queued', 1, 'state', state)
  call('ZADD', P .. 'jobs:' .. state, NOW, id)
  if hook_open(id, ARGV[a + 1]) then call('HSET', key, 'hook', '1') end
  call('HSET', pages_key(id), url, page_pack('q', 0, -1, 0))
  call('HINCRBY', P .. 'open_jobs', priority .. ':' .. customer, 1)
  call('ZADD', P .. 'customer:' .. customer .. ':jobs', NOW, id)
  bound_deadline(id, pool, delay)
  local job = {pool = pool, priority = priority, customer = customer, seq = seq,
    host_limit = limit, host_delay_ms = host_delay, pace = pace}
  if delay > 0 then
    lane_push(id, job, host, url, false, false)
    call('ZADD', P .. 'delayed', NOW + delay, 'j ' .. id)
  else
    lane_push(id, job, host, url, false, true)
    wake_workers(pool, 1)
  end
  accepted = accepted + 1
  emit('jobWaiting', id, customer, {type = ARGV[a + 2], delay = delay > 0 and delay or nil})
  return 1
end

for a = 1, #ARGV, 16 do replies[#replies + 1] = accept(a) end
if accepted > 0 then call('HINCRBY', P .. 'totals', 'jobs_submitted', accepted) end
return replies
