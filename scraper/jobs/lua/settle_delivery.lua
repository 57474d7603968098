#!lua flags=allow-oom
-- Note how an attempt to deliver ended: the next delivery's turn, or this one again later.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 deliverer, 2 job, 3 number of the entry, 4 attempt, 5 delivered, failed (again later),
--         given_up, or wait (it was not tried), 6 ms until the next attempt, 7 HTTP status or 0,
--         8 ms that it took, 9 what was wrong
-- Reply   1, or 0 when that was settled already (a repeated call), or another deliverer has the
--         right now: no change
local id, outcome, due = ARGV[2], ARGV[5], NOW + tonumber(ARGV[6])
if call('HGET', P .. 'webhooks', 'holder') ~= ARGV[1] then return 0 end
local entry = call('LINDEX', hook_key(id) .. ':queue', 0)
if not entry or string.match(entry, '^%d+') ~= ARGV[3] then return 0 end
if outcome == 'wait' then
  call('ZADD', P .. 'hooks_due', 'XX', due, id)
  return 1
end
local attempt = tonumber(ARGV[4])
if number_of(call('HGET', hook_key(id), 'attempts')) ~= attempt - 1 then return 0 end
hook_log(id, {outcome = outcome, at = NOW, attempt = attempt, status = tonumber(ARGV[7]),
              took = tonumber(ARGV[8]), error = ARGV[9], entry = entry})
if outcome == 'delivered' then
  call('HDEL', hook_key(id), 'failing_since', 'last_error')
else
  call('HSETNX', hook_key(id), 'failing_since', NOW_TEXT)
  call('HSET', hook_key(id), 'last_error', ARGV[9])
end
if outcome == 'failed' then
  call('HSET', hook_key(id), 'attempts', attempt)
  call('ZADD', P .. 'hooks_due', due, id)
  return 1
end
call('HDEL', hook_key(id), 'attempts')
call('LPOP', hook_key(id) .. ':queue')
if call('EXISTS', hook_key(id) .. ':queue') == 1 then
  call('ZADD', P .. 'hooks_due', NOW_TEXT, id)
else
  call('ZREM', P .. 'hooks_due', id)
end
return 1
