-- Webhooks: what is kept of a job that has one, and the deliveries that wait for it.
-- An entry of `:queue` is "<number> <sequence> <event id> <event> <at ms> <rest as JSON>".

local function hook_key(id) return P .. 'hook:' .. id end

-- Remember the webhook of a new job; true when it has one.
local function hook_open(id, spec)
  -- Metadata may hold the word, too: only then is the whole read.
  if not string.find(spec, '"webhook"', 1, true) then return false end
  local hook = cjson.decode(spec).webhook
  if type(hook) ~= 'table' then return false end
  local events = hook.events and ' ' .. table.concat(hook.events, ' ') .. ' ' or '*'
  call('HSET', hook_key(id), 'events', events)
  call('HDEL', hook_key(id), 'spec', 'removed_at')
  call('ZADD', P .. 'hooks', '+inf', id)
  return true
end

-- The job is removed: its deliveries are tried for as long as any, then that is removed, too.
local function hook_leave(id, spec)
  call('HSET', hook_key(id), 'spec', spec, 'removed_at', NOW_TEXT)
  call('UNLINK', hook_key(id) .. ':log')
  call('ZADD', P .. 'hooks', NOW + number_of(setting('hooks_kept_ms') or 90000000), id)
end

-- Forget hooks of removed jobs whose time is over; `bound` at the most.
local function hooks_prune(bound)
  local over = call('ZRANGEBYSCORE', P .. 'hooks', '-inf', NOW, 'LIMIT', 0, bound)
  if #over > 0 and not time_is_sure() then return end
  for _, id in ipairs(over) do
    for _, part in ipairs({'', ':queue', ':log'}) do call('UNLINK', hook_key(id) .. part) end
    call('ZREM', P .. 'hooks', id)
    call('ZREM', P .. 'hooks_due', id)
  end
end

-- Put an entry behind those that wait; the first one is due at once.
local function hook_push(id, rest)
  local number = call('HINCRBY', hook_key(id), 'number', 1)
  if call('RPUSH', hook_key(id) .. ':queue', whole(number) .. ' ' .. rest) == 1 then
    call('ZADD', P .. 'hooks_due', NOW_TEXT, id)
  end
end

local function hook_log(id, line)
  call('LPUSH', hook_key(id) .. ':log', cjson.encode(line))
  call('LTRIM', hook_key(id) .. ':log', 0, number_of(setting('webhook_log') or 100) - 1)
end
