-- Shared by every script: key names, time, the settings kept in Redis, events.
-- KEYS[1] is always `{queue}:meta`; every other key has the same prefix, so the same slot.
-- `begin` sets what belongs to one call; the functions below are made once, when the library is
-- loaded: making them anew took longer than most calls.
local KEYS, ARGV, P, META, NOW, NOW_TEXT, clock, call, settings_cache
-- True in a script that removes expired jobs itself, at its end, for all that it finished.
local is_tidied_later

-- Whole numbers as text. Small ones are kept, and large ones are put together from those: Lua formats
-- a number anew each time it is passed on, which takes a thousand steps.
local whole_texts, two_digits = {}, {}
local function whole(number)
  local text = whole_texts[number]
  if text then return text end
  local low = number % 100
  if number < 100 or low % 1 ~= 0 then
    text = string.format('%.0f', number)
  else
    if not two_digits[low] then two_digits[low] = string.format('%02.0f', low) end
    text = whole((number - low) / 100) .. two_digits[low]
  end
  if number > -10000 and number < 10000 then whole_texts[number] = text end
  return text
end

local function begin(keys, args)
  KEYS, ARGV = keys, args
  META = keys[1]
  P = string.sub(META, 1, -5)
  call = redis.call
  clock = call('TIME')
  NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
  NOW_TEXT = whole(NOW)
  settings_cache = nil
  is_tidied_later = false
end

-- A number as text, exactly.
local function text_of(number)
  return number % 1 == 0 and whole(number) or string.format('%.17g', number)
end

-- The number that a text says; small ones are kept, for reading one costs a hundred steps.
local read_numbers = {}
local function number_in(text)
  local number = read_numbers[text]
  if not number then
    number = tonumber(text)
    if number > -10000 and number < 10000 then read_numbers[text] = number end
  end
  return number
end

local RANK_STEP = 2 ^ 40   -- a lane's rank is holders * RANK_STEP + the job's number

local function job_key(id) return P .. 'job:' .. id end
local function pages_key(id) return P .. 'job:' .. id .. ':pages' end
local function lane_key(id, host) return P .. 'job:' .. id .. ':lane:' .. host end
local function suspects_key(id) return P .. 'job:' .. id .. ':suspects' end
local function hosts_key(id) return P .. 'job:' .. id .. ':hosts' end
local function host_key(host) return P .. 'host:' .. host end
local function leases_key(worker) return P .. 'leases:' .. worker end
local function worker_key(worker) return P .. 'worker:' .. worker end

local function fields(key, ...)
  local values = call('HMGET', key, ...)
  for i = 1, #values do if values[i] == false then values[i] = nil end end
  return values
end

local function number_of(value) return tonumber(value or 0) or 0 end

local function setting(name)
  if not settings_cache then
    settings_cache = {}
    local flat = call('HGETALL', P .. 'settings')
    for i = 1, #flat, 2 do settings_cache[flat[i]] = flat[i + 1] end
  end
  return settings_cache[name]
end

-- One event: `t` its name, `j` the job, `c` the customer, `d` the rest as JSON text.
local function emit_text(name, job, customer, detail)
  call('XADD', P .. 'events', 'MAXLEN', '~', setting('events_kept') or '100000', '*',
    't', name, 'j', job or '', 'c', customer or '', 'at', NOW_TEXT, 'd', detail)
end

-- One entry for the pages of a commit that are alike: `u` holds their URLs, `d` the rest. The stream
-- keeps about `events_kept` events: the more of them an entry holds (a running mean), the fewer
-- entries.
local function emit_pages(job, customer, urls, detail)
  local kept = tonumber(setting('events_kept') or 100000)
  local mean = number_of(call('HGET', META, 'events_an_entry'))
  mean = mean + (#urls - mean) / 64
  call('HSET', META, 'events_an_entry', string.format('%.2f', mean))
  call('XADD', P .. 'events', 'MAXLEN', '~', whole(math.ceil(kept / math.max(1, mean))), '*',
    't', 'pageCommitted', 'j', job, 'c', customer, 'at', NOW_TEXT, 'd', detail,
    'u', table.concat(urls, ' '))
end

local function emit(name, job, customer, detail)
  emit_text(name, job, customer, detail and next(detail) and cjson.encode(detail) or '{}')
end

-- A worker's public name is its instance without the incarnation behind '#'.
local function worker_name(instance) return (string.gsub(instance, '#.*$', '')) end

-- Wake at most `count` idle workers of a pool, each by a token in its own list.
local function wake_workers(pool, count)
  for _ = 1, count do
    local worker = call('SPOP', P .. 'idle:' .. pool)
    if not worker then return end
    call('LPUSH', P .. 'wake:' .. worker, '1')
    call('PEXPIRE', P .. 'wake:' .. worker, 60000)
  end
end
