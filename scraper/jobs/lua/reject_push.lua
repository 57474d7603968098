#!lua
-- Keep a refused push with its reason; the oldest go when the list is full (counted in totals).
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 claim id in this queue's claimed hash ("" = none), 2 rejection (JSON, with its claim), 3 door, 4 reason
-- Reply   1
if ARGV[1] ~= '' then
  if call('HDEL', P .. 'claimed', ARGV[1]) == 0 then return 1 end
elseif call('LPOS', P .. 'rejected', ARGV[2], 'MAXLEN', 1000) then
  -- A door in another slot: its claim is ended by a call of its own, so this one may be repeated.
  return 1
end
call('LPUSH', P .. 'rejected', ARGV[2])
call('LTRIM', P .. 'rejected', 0, number_of(setting('rejected_kept') or 10000) - 1)
call('HINCRBY', P .. 'totals', 'pushes_rejected', 1)
emit('jobRejected', '', '', {door = ARGV[3], reason = ARGV[4]})
return 1
