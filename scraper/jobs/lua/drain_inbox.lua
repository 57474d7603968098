#!lua
-- Claim raw pushes of a door: moved, oldest first, from its list into the claimed hash beside it.
-- A claim stays until its job is accepted or its rejection is kept, so a crash loses none.
-- KEYS[1] string `{queue}:meta` or, for a door in another slot, `{<door>}:meta`
-- KEYS[2] list   the door (lpush adds on the left)
-- ARGV    1 how many at the most, 2 "1" to return old claims instead (those left by a crash),
--         3 for old claims: only those older than this many ms
-- Reply   claim id, payload, ... ; a claim id is "<epoch ms>-<number>"
local replies = {}
local claimed = P .. 'claimed'
if ARGV[2] == '1' then
  local flat = call('HGETALL', claimed)
  for i = 1, #flat, 2 do
    local at = tonumber(string.match(flat[i], '^(%d+)-')) or 0
    if NOW - at >= tonumber(ARGV[3]) and #replies < 2 * tonumber(ARGV[1]) then
      replies[#replies + 1] = flat[i]
      replies[#replies + 1] = flat[i + 1]
    end
  end
  return replies
end
for _ = 1, tonumber(ARGV[1]) do
  local payload = call('RPOP', KEYS[2])
  if not payload then break end
  local claim = NOW .. '-' .. call('HINCRBY', META, 'claims', 1)
  call('HSET', claimed, claim, payload)
  replies[#replies + 1] = claim
  replies[#replies + 1] = payload
end
return replies
