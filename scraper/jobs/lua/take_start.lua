#!lua
-- Take a start at a host for one more request of a leased page: what its redirect leads to.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 worker instance, 2 token, 3 number of the request (a repeated call has the same), 4 its
--         URL, 5 ms: for a longer rest of its host (429, 503) no start is taken
-- Reply   {state, epoch in ms, ms between two starts}: `start` then (0: at once, there is no delay);
--         `rests` until then, nothing was taken; `lost`, a void token (a normal race)
local packed = call('HGET', leases_key(ARGV[1]), ARGV[2])
if not packed then return {'lost', 0, 0} end
local lease, host = lease_unpack(packed), host_of(ARGV[4])
local key, name = host_key(host), ARGV[2] .. ' ' .. ARGV[3] .. ' '
local f = fields(key, 'hop', 'paused_until')
if f[1] and string.sub(f[1], 1, #name) == name then
  local at, delay = string.match(f[1], '(%d+) (%d+)$')
  return {'start', tonumber(at), tonumber(delay)}
end
local rests_until = number_of(f[2])
if rests_until > NOW + tonumber(ARGV[5]) then return {'rests', rests_until, 0} end
local terms = fields(job_key(lease.job), 'host_delay_ms', 'pace')
local _, at, delay = host_gate(host, number_of(terms[1]), terms[2])
if delay > 0 then
  at = math.max(at, NOW)
  host_take(host, at, delay)
  call('HSET', key, 'hop', name .. string.format('%.0f', at) .. ' ' .. whole(delay))
end
return {'start', (delay > 0 or at > NOW) and at or 0, delay}
