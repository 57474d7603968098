#!lua flags=allow-oom
-- A worker died: take back all that it held, uncharged. Pages whose handling had begun are suspects
-- from now on: they are handled alone in their next worker. One that was a suspect already, and
-- the only page that was being handled, is charged with the death; at three it is quarantined:
-- failed for good, with the evidence. Jobs are never charged.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 what is known of the death (JSON object), 3.. tokens of the pages
--         whose handling had begun
-- Reply   {leases that came back or ended, URL of each page that was quarantined}
--         (void tokens, and a call that is repeated, change nothing)
local instance, is_alone = ARGV[1], #ARGV == 3
local CHARGES, DEATHS_KEPT = 3, 5
local quarantined, begun = {}, 0

local function note_death(id, url)
  local known = call('HGET', suspects_key(id), url)
  local suspect = known and cjson.decode(known) or {charges = 0, deaths = {}}
  local death = cjson.decode(ARGV[2])
  death.alone = is_alone and known ~= false
  if death.alone then suspect.charges = suspect.charges + 1 end
  table.insert(suspect.deaths, death)
  if #suspect.deaths > DEATHS_KEPT then table.remove(suspect.deaths, 1) end
  call('HSET', suspects_key(id), url, cjson.encode(suspect))
  suspects_count(id)
  return suspect
end

local function quarantine(token, lease, suspect)
  local id, page, job = lease.job, lease.page, job_load(lease.job)
  lease_end(instance, token, lease, job)
  page_set(id, lease.url, 'f', page, page.note ~= '' and QUARANTINED .. ' ' .. page.note or QUARANTINED)
  job_add(job, 'leased', -1)
  job_add(job, 'failed', 1)
  local last = suspect.deaths[#suspect.deaths]
  call('RPUSH', job_key(id) .. ':errors', cjson.encode({url = lease.url, code = QUARANTINED,
    message = 'its worker died each of the ' .. CHARGES .. ' times that it was handled alone; last: ' ..
      (last.exit or 'unknown'),
    attempt = tonumber(page.attempts), depth = tonumber(page.depth), at = last.at,
    deaths = suspect.deaths}))
  if page.parent == '-1' then job_put(job, 'error', QUARANTINED) end
  emit('pageCommitted', id, job.customer, {url = lease.url,
    status = 'failed', code = QUARANTINED, workerId = worker_name(instance)})
  call('HINCRBY', P .. 'totals', 'pages_quarantined', 1)
  quarantined[#quarantined + 1] = lease.url
  if not finish_if_done(job, instance) then
    job_save(job)
    job_unstarve(job)
  end
end

for i = 3, #ARGV do
  local packed = call('HGET', leases_key(instance), ARGV[i])
  if packed then
    local lease = lease_unpack(packed)
    local suspect = note_death(lease.job, lease.url)
    begun = begun + 1
    if suspect.charges >= CHARGES then
      quarantine(ARGV[i], lease, suspect)
    else
      page_release(instance, ARGV[i], lease, true)
    end
  end
end
return {worker_reclaim(instance) + begun, quarantined}
