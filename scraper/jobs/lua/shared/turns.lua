-- Turnstiles: who is next. Lanes (a job's pages on one host) wait ordered by priority,
-- then by customer in weighted fair turns (start-time fair queueing), then by rank.
-- `ready:<pool>` holds lanes that may be leased; `parked:<host>` those whose host is at its limit.
--   T                  zset  group    -> -priority
--   T|<group>          zset  customer -> virtual time of its next turn
--   T|<group>|<cust.>  zset  lane     -> rank
-- A group is a priority; of parked lanes it says more, see lanes.lua.

-- `job` = {priority, customer}.
local function turns_add(turnstile, group, job, lane, rank)
  local customers = turnstile .. '|' .. group
  call('ZADD', customers .. '|' .. job.customer, rank, lane)
  if not call('ZSCORE', customers, job.customer) then
    local own = number_of(call('HGET', P .. 'turns', job.priority .. ':' .. job.customer))
    local now = number_of(call('HGET', P .. 'virtual_time', job.priority))
    call('ZADD', customers, math.max(own, now), job.customer)
    call('ZADD', turnstile, -job.priority, group)
  end
end

local function turns_remove(turnstile, group, customer, lane)
  local customers = turnstile .. '|' .. group
  local lanes = customers .. '|' .. customer
  if call('ZREM', lanes, lane) == 0 then return false end
  if call('EXISTS', lanes) == 0 then
    call('ZREM', customers, customer)
    if call('EXISTS', customers) == 0 then call('ZREM', turnstile, group) end
  end
  return true
end

-- The next lane of a group: {turnstile, group, priority, customer, turn, lane, rank}; `is_alone` when
-- no other waits there.
-- A customer's turn may have moved on in another turnstile: its score is mended when met.
local function turns_head_of(turnstile, group, priority)
  local customers = turnstile .. '|' .. group
  local first = call('ZRANGE', customers, '0', '1', 'WITHSCORES')
  for _ = 1, 64 do
    local turn = number_of(call('HGET', P .. 'turns', whole(priority) .. ':' .. first[1]))
    if turn <= tonumber(first[2]) then break end
    call('ZADD', customers, 'XX', text_of(turn), first[1])
    first = call('ZRANGE', customers, '0', '1', 'WITHSCORES')
  end
  local lane = call('ZRANGE', customers .. '|' .. first[1], '0', '1', 'WITHSCORES')
  return {turnstile = turnstile, group = group, priority = priority, customer = first[1],
          turn = tonumber(first[2]), lane = lane[1], rank = tonumber(lane[2]),
          is_alone = #first == 2 and #lane == 2}
end

-- The next lane of `ready`; nil when there is none.
local function turns_head(turnstile)
  local top = call('ZRANGE', turnstile, '0', '1')
  if #top == 0 then return nil end
  local head = turns_head_of(turnstile, top[1], number_in(top[1]))
  head.is_alone = head.is_alone and #top == 1
  return head
end

local function turn_is_before(one, other)
  if one.priority ~= other.priority then return one.priority > other.priority end
  if one.turn ~= other.turn then return one.turn < other.turn end
  return one.rank < other.rank
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
