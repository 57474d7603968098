-- Turnstiles: who is next. Lanes (a job's pages on one host) wait ordered by priority,
-- then by customer in weighted fair turns (start-time fair queueing), then by rank.
-- `ready:<pool>` holds lanes that may be leased; `parked:<host>` those whose host is at its limit.
--   T                     zset  priority -> -priority
--   T|<priority>          zset  customer -> virtual time of its next turn
--   T|<priority>|<cust.>  zset  lane     -> rank

local function turns_add(turnstile, priority, customer, lane, rank)
  local group = turnstile .. '|' .. priority
  call('ZADD', group .. '|' .. customer, rank, lane)
  if not call('ZSCORE', group, customer) then
    local own = number_of(call('HGET', P .. 'turns', priority .. ':' .. customer))
    local now = number_of(call('HGET', P .. 'virtual_time', priority))
    call('ZADD', group, math.max(own, now), customer)
    call('ZADD', turnstile, -priority, priority)
  end
end

local function turns_remove(turnstile, priority, customer, lane)
  local group = turnstile .. '|' .. priority
  local lanes = group .. '|' .. customer
  if call('ZREM', lanes, lane) == 0 then return false end
  if call('EXISTS', lanes) == 0 then
    call('ZREM', group, customer)
    if call('EXISTS', group) == 0 then call('ZREM', turnstile, priority) end
  end
  return true
end

-- The next lane of a turnstile: {priority, customer, turn, lane, rank}, or nil; `is_alone` when no
-- other waits there.
-- A customer's turn may have moved on in another turnstile: its score is mended when met.
local function turns_head(turnstile)
  local top = call('ZRANGE', turnstile, '0', '1')
  if #top == 0 then return nil end
  local group = turnstile .. '|' .. top[1]
  local first = call('ZRANGE', group, '0', '1', 'WITHSCORES')
  for _ = 1, 64 do
    local turn = number_of(call('HGET', P .. 'turns', top[1] .. ':' .. first[1]))
    if turn <= tonumber(first[2]) then break end
    call('ZADD', group, 'XX', text_of(turn), first[1])
    first = call('ZRANGE', group, '0', '1', 'WITHSCORES')
  end
  local lane = call('ZRANGE', group .. '|' .. first[1], '0', '1', 'WITHSCORES')
  return {turnstile = turnstile, priority = number_in(top[1]), customer = first[1],
          turn = tonumber(first[2]), lane = lane[1], rank = tonumber(lane[2]),
          is_alone = #top == 1 and #first == 2 and #lane == 2}
end

-- Charge pages to a customer: its next turn moves on by pages / weight.
local function turns_charge(turnstile, priority, customer, pages)
  local group = turnstile .. '|' .. priority
  local field = priority .. ':' .. customer
  local now = number_of(call('HGET', P .. 'virtual_time', whole(priority)))
  local turn = math.max(number_of(call('HGET', P .. 'turns', field)), now)
  local weight = tonumber(call('HGET', P .. 'weights', customer) or 1) or 1
  -- Also false for NaN; an endless turn would be stored as a score and never end.
  if not (weight >= 0.001 and weight <= 1000) then weight = 1 end
  local next_turn = text_of(turn + pages / weight)
  call('HSET', P .. 'virtual_time', whole(priority), text_of(turn))
  call('HSET', P .. 'turns', field, next_turn)
  call('ZADD', group, 'XX', next_turn, customer)
end
