#!lua
-- The robots.txt of an origin as the fleet knows it, or the right to fetch it for the fleet.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 origin, 2 worker instance, 3 how long a claim holds in ms (0: this worker's ends)
-- Reply   {state, ttl ms, stored}: `known` with what is stored; `yours` (also when repeated, which
--         renews the claim); `pending` while another worker fetches it; `free` when a claim ended
local key = P .. 'robots:' .. ARGV[1]
local claim = 'pending ' .. ARGV[2]
local stored = call('GET', key)
if stored and stored ~= claim then
  local is_pending = string.sub(stored, 1, 8) == 'pending '
  return {is_pending and 'pending' or 'known', call('PTTL', key), is_pending and '' or stored}
end
if ARGV[3] == '0' then
  call('DEL', key)
  return {'free', 0, ''}
end
call('SET', key, claim, 'PX', ARGV[3])
return {'yours', tonumber(ARGV[3]), ''}
