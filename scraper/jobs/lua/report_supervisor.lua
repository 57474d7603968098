#!lua flags=allow-oom
-- Say how a supervisor is, or that it leaves; forget those not heard of; now and then add a point
-- to the history of the whole queue, which graphs are drawn from.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 supervisor, 2 its report (JSON; "" = it leaves), 3 report kept for, ms,
--         4 its load: "<workers> <running> <memory used> <memory allowed>",
--         5 least time between points of the history, ms, 6 points kept,
--         7 ms since its last report, by a clock without steps ("" = the first)
-- Reply   1 when a point was added
local supervisors, loads = P .. 'supervisors', P .. 'loads'
local name = ARGV[1]
if ARGV[2] == '' then
  call('DEL', P .. 'supervisor:' .. name)
  call('ZREM', supervisors, name)
  call('HDEL', loads, name)
  return 0
end
local before = number_of(call('ZSCORE', supervisors, name) or 0)
if ARGV[7] == '' then before = 0 end
if clock_check(before, number_of(ARGV[7])) ~= 0 then
  call('HINCRBY', P .. 'totals', 'clock_steps', 1)
end
call('SET', P .. 'supervisor:' .. name, ARGV[2], 'PX', ARGV[3])
call('ZADD', supervisors, NOW_TEXT, name)
call('HSET', loads, name, ARGV[4])
for _, gone in ipairs(call('ZRANGEBYSCORE', supervisors, '-inf', NOW - ARGV[3])) do
  call('ZREM', supervisors, gone)
  call('HDEL', loads, gone)
end

local newest = call('XREVRANGE', P .. 'history', '+', '-', 'COUNT', 1)[1]
if newest and NOW - tonumber(string.match(newest[1], '^%d+')) < tonumber(ARGV[5]) then return 0 end
local sums = {0, 0, 0, 0}
for _, load in ipairs(call('HVALS', loads)) do
  local i = 1
  for number in string.gmatch(load, '%d+') do
    sums[i], i = sums[i] + number, i + 1
  end
end
local totals = fields(P .. 'totals', 'pages_committed', 'jobs_completed', 'jobs_failed')
call('XADD', P .. 'history', 'MAXLEN', '~', ARGV[6], '*',
  'waiting', call('ZCARD', P .. 'jobs:waiting'), 'delayed', call('ZCARD', P .. 'jobs:delayed'),
  'active', call('ZCARD', P .. 'jobs:active'), 'paused', call('ZCARD', P .. 'jobs:paused'),
  'pages', totals[1] or 0, 'completed', totals[2] or 0, 'failed', totals[3] or 0,
  'workers', sums[1], 'running', sums[2],
  'memory_used', string.format('%.0f', sums[3]), 'memory_total', string.format('%.0f', sums[4]))
return 1
