#!lua
-- Deliver an event again that is in a webhook's log; one that waits is tried at once.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 job, 2 id of the delivery, 3 id of the request: the same again changes nothing
-- Reply   "queued"; "unknown": the job's log does not have it; "full": too many wait
local id, wanted = ARGV[1], ARGV[2]
if call('HGET', hook_key(id), 'redelivered') == ARGV[3] then return 'queued' end
local function id_of(entry) return string.match(entry, '^%d+ %d+ (%S+)') end
local head = call('LINDEX', hook_key(id) .. ':queue', 0)
if head and id_of(head) == wanted then
  call('ZADD', P .. 'hooks_due', NOW_TEXT, id)
  return 'queued'
end
for _, text in ipairs(call('LRANGE', hook_key(id) .. ':log', 0, -1)) do
  local entry = cjson.decode(text).entry
  if entry and id_of(entry) == wanted then
    if call('LLEN', hook_key(id) .. ':queue') >= number_of(setting('webhook_queue') or 10000) then
      return 'full'
    end
    hook_push(id, string.match(entry, '^%d+ (.*)$'))
    call('HSET', hook_key(id), 'redelivered', ARGV[3])
    return 'queued'
  end
end
return 'unknown'
