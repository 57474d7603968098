#!lua
-- Queue what webhooks are to be told of the next events of the stream, in order.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 deliverer, 2 place in the stream so far, 3 the new one,
--         then per event 1 job, 2 event id, 3 event, 4 at (ms), 5 the rest as JSON text
-- Reply   how many were queued; 0 also when the place is the new one already (a repeated call);
--         -1: this deliverer has not the right any more, or starts from another place: no change
local key = P .. 'webhooks'
local f = fields(key, 'holder', 'position')
if f[1] ~= ARGV[1] then return -1 end
if f[2] == ARGV[3] then return 0 end
if f[2] ~= ARGV[2] then return -1 end
local most, hooks, queued = number_of(setting('webhook_queue') or 10000), {}, 0

local function hook_of(id)
  if not hooks[id] then
    local h = fields(hook_key(id), 'events', 'removed_at')
    hooks[id] = {events = h[1], removed_at = h[2] and tonumber(h[2]),
                 length = call('LLEN', hook_key(id) .. ':queue'), dropped = 0}
  end
  return hooks[id]
end

for a = 4, #ARGV, 5 do
  local id, name, at = ARGV[a], ARGV[a + 2], tonumber(ARGV[a + 3])
  local hook = hook_of(id)
  if name == 'gap' then
    hook_log(id, {outcome = 'gap', at = NOW, error = 'events were trimmed before they were read'})
  end
  local is_wanted = hook.events and name ~= 'gap' and (hook.events == '*'
    or string.find(hook.events, ' ' .. name .. ' ', 1, true))
  -- A later job of the same id has no webhook, or there would be no `removed_at`.
  if is_wanted and not (hook.removed_at and at > hook.removed_at) then
    local sequence = call('HINCRBY', hook_key(id), 'sequence', 1)
    if hook.length < most then
      hook_push(id, whole(sequence) .. ' ' .. ARGV[a + 1] .. ' ' .. name .. ' ' .. ARGV[a + 3]
        .. ' ' .. ARGV[a + 4])
      hook.length, queued = hook.length + 1, queued + 1
    else
      hook.dropped = hook.dropped + 1
      hook.from = hook.from or sequence
    end
  end
end
for id, hook in pairs(hooks) do
  if hook.dropped > 0 then
    call('HINCRBY', hook_key(id), 'dropped', hook.dropped)
    hook_log(id, {outcome = 'gap', at = NOW, count = hook.dropped, sequence = hook.from,
                  error = 'too many deliveries waited'})
  end
end
call('HSET', key, 'position', ARGV[3])
return queued
