-- Steps of the server's clock (set by hand, by NTP, or another machine's after a fail-over).
-- Supervisors report every 2 s, with the time that went by on a clock that has no steps. So a step
-- is noticed with the next report, and all that waits for a moment is moved along with the clock.
-- Until then nothing is ended for its time: see `time_is_sure`.

local STEP_MS = 5000     -- less than this is a slow network, and is let pass
local SILENCE_MS = 8000  -- reports that stay away for longer: a step, or nobody reports any more
local DOUBT_MS = 6000    -- for so long a report may settle which of the two it is

-- False right after the clock may have leapt ahead. Asked for only when something is due.
local function time_is_sure()
  local seen = fields(META, 'clock', 'doubt_at')
  local last, doubt = tonumber(seen[1]), number_of(seen[2])
  if not last or NOW - last <= SILENCE_MS then return true end
  if doubt <= last or doubt > NOW then
    call('HSET', META, 'doubt_at', NOW_TEXT)
    return false
  end
  return NOW - doubt > DOUBT_MS
end

local function move_scores(name, by, wanted)
  local flat = call('ZRANGE', P .. name, 0, -1, 'WITHSCORES')
  for i = 1, #flat, 2 do
    local at = tonumber(flat[i + 1])
    if not wanted or wanted(at) then call('ZADD', P .. name, 'XX', at + by, flat[i]) end
  end
end

local function move_hosts(by)
  local cursor = '0'
  repeat
    local found = call('SCAN', cursor, 'MATCH', P .. 'host:*', 'COUNT', 10000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do
      for _, name in ipairs({'next_at', 'paused_until', 'pace_until'}) do
        local at = tonumber(call('HGET', key, name) or nil)
        if at then call('HSET', key, name, string.format('%.0f', at + by)) end
      end
    end
  until cursor == '0'
end

-- The clock has stepped by `by` ms: every moment that something waits for steps, too.
local function clock_move(by)
  for _, name in ipairs({'delayed', 'deadlines', 'hosts_due', 'expiries', 'supervisors'}) do
    move_scores(name, by)
  end
  -- Workers that were heard of since the step have a new deadline already.
  move_scores('workers', by, function(at)
    if by > 0 then return at < NOW end
    return at + by > NOW
  end)
  move_hosts(by)
end

-- A supervisor that reported at `before` (0: never) reports again, `elapsed` ms later by its own
-- clock. How far the server's clock has stepped meanwhile, 0 when it has not.
local function clock_check(before, elapsed)
  local last = number_of(call('HGET', META, 'clock'))
  call('HSET', META, 'clock', NOW_TEXT)
  if before == 0 or last == 0 then return 0 end
  local step = NOW - before - elapsed
  -- What others reported meanwhile bounds it: perhaps this one alone was stopped.
  if step > 0 then step = math.min(step, NOW - last) end
  if math.abs(step) < STEP_MS then return 0 end
  clock_move(step)
  return step
end
