#!lua flags=allow-oom
-- Be the one who delivers webhooks for a while: take that right, keep it, or give it back.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 deliverer, 2 for how many ms (0: give it back)
-- Reply   {place in the event stream up to which deliveries are queued, jobs with a webhook};
--         empty: another one has it, or it was given back
local key, lease_ms = P .. 'webhooks', tonumber(ARGV[2])
local f = fields(key, 'holder', 'until', 'position')
if f[1] and f[1] ~= ARGV[1] and number_of(f[2]) > NOW then return {} end
if lease_ms == 0 then
  if f[1] == ARGV[1] then call('HDEL', key, 'holder', 'until') end
  return {}
end
hooks_prune(64)
local count, position = call('ZCARD', P .. 'hooks'), f[3] or '0-0'
if count == 0 then
  -- What has happened so far is of no job with a webhook.
  local newest = call('XREVRANGE', P .. 'events', '+', '-', 'COUNT', 1)
  if newest[1] then position = newest[1][1] end
end
call('HSET', key, 'holder', ARGV[1], 'until', NOW + lease_ms, 'position', position)
return {position, count}
