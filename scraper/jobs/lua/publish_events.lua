#!lua flags=allow-oom
-- Put a supervisor's events into the queue's stream, in order; a batch that is repeated adds none.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 supervisor, 2 origin: a token of its process, 3 batch number, rising,
--         then per event 1 name, 2 the rest as a JSON object
-- Reply   how many were added; 0: this batch was there already (its reply had been lost)
local told, batch = P .. 'told:' .. ARGV[1], ARGV[2] .. ' ' .. ARGV[3]
if call('GET', told) == batch then return 0 end
local kept = setting('events_kept') or '100000'
for i = 4, #ARGV, 2 do
  call('XADD', P .. 'events', 'MAXLEN', '~', kept, '*',
    't', ARGV[i], 'j', '', 'c', '', 'at', NOW_TEXT, 'd', ARGV[i + 1], 'o', ARGV[2])
end
call('SET', told, batch, 'PX', 3600000)
return (#ARGV - 3) / 2
