-- How fast a job is, when it will be through, and what holds it up.

-- What keeps the job from being faster, as {reason, host, delay, wait} (ms); nil when nothing does
-- but the workers' speed. `terms` = {host_limit, host_delay_ms, pace}.
local function held_up_by(job, host, terms)
  local f = fields(host_key(host), 'in_flight', 'paused_until', 'crawl_delay', 'slow_delay',
    'by_limit')
  local wait = number_of(f[2]) - NOW
  if wait > 0 then return {reason = 'host_pause', host = host, wait = wait} end
  local own, crawl, slow = number_of(terms[2]), number_of(f[3]), number_of(f[4])
  if terms[3] == 'own' then crawl = 0 end
  if terms[3] ~= 'normal' then slow = 0 end
  local delay = math.max(own, crawl, slow)
  if delay > 0 then
    local reason = delay == crawl and 'crawl_delay' or delay == slow and 'slow_host' or 'host_delay'
    return {reason = reason, host = host, delay = delay}
  end
  if job.queued == 0 then return nil end
  if crowd_places(crowd_read(f[1], f[5]), number_of(terms[1])) <= 0 then
    return {reason = 'host_limit', host = host}
  end
  if call('HLEN', P .. 'open_jobs') > 1 then return {reason = 'turn'} end
end

-- ms until the job's known pages are through at `rate` pages/s, no faster than the host allows; nil
-- when that cannot be told.
local function eta_of(job, rate, held)
  local left = math.max(0, math.min(job.known - job.failed - job.skipped, job.max_pages) - job.done)
  local page_ms = rate > 0 and 1000 / rate or 0
  -- A slow host's delay is soon another: what it let through of late tells more.
  local is_fleeting = held and held.reason == 'slow_host' and rate > 0
  if held and held.delay and not is_fleeting then page_ms = math.max(page_ms, held.delay) end
  if page_ms == 0 then return nil end
  return math.floor(left * page_ms + (held and held.wait or 0))
end
