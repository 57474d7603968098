-- Crowds: how many fetches a host has in flight, by the limits of the jobs that they are for.
-- The host's hash has them as `in_flight`, in all, and `by_limit`, "<limit>:<fetches> ...", the least
-- limit first. Here a crowd is {total = n, limit, fetches, limit, fetches, ...} in that order.
-- Fetches of limits up to L are never more than L. So a wide job does not stand in the way of a narrow
-- one, and a host never sees more than the widest limit that is in use.

-- Fetches of which no limit is known were granted by a release that wrote none: they count as if
-- under the least limit. Where there are fewer in all than by limits, such a release ended some.
local function crowd_read(in_flight, by_limit)
  local total, known, n = in_flight and number_in(in_flight) or 0, 0, 0
  if total <= 0 then return {total = 0} end
  local crowd = {total = total}
  if by_limit then
    for limit, fetches in string.gmatch(by_limit, '(%d+):(%d+)') do
      crowd[n + 1], crowd[n + 2] = number_in(limit), number_in(fetches)
      known, n = known + crowd[n + 2], n + 2
    end
  end
  if known > crowd.total then crowd, known = {total = crowd.total}, 0 end
  if known < crowd.total then
    table.insert(crowd, 1, crowd.total - known)
    table.insert(crowd, 1, 0)
  end
  return crowd
end

local function crowd_text(crowd)
  local text
  for i = 1, #crowd, 2 do
    if crowd[i] > 0 and crowd[i + 1] > 0 then
      local pair = whole(crowd[i]) .. ':' .. whole(crowd[i + 1])
      text = text and text .. ' ' .. pair or pair
    end
  end
  return text or ''
end

local function crowd_join(crowd, limit, fetches)
  local i = 1
  while crowd[i] and crowd[i] < limit do i = i + 2 end
  if crowd[i] == limit then
    crowd[i + 1] = crowd[i + 1] + fetches
  elseif not crowd[i] then
    crowd[i], crowd[i + 1] = limit, fetches
  else
    table.insert(crowd, i, fetches)
    table.insert(crowd, i, limit)
  end
  crowd.total = crowd.total + fetches
end

-- Those that are not found under their limit are of the unknown ones.
local function crowd_leave(crowd, limit, fetches)
  crowd.total = math.max(0, crowd.total - fetches)
  for i = #crowd - 1, 1, -2 do
    if crowd[i] == limit or crowd[i] == 0 then
      local left = math.min(fetches, crowd[i + 1])
      crowd[i + 1] = crowd[i + 1] - left
      fetches = fetches - left
    end
  end
end

-- How many more fetches a job with this limit may have.
local function crowd_places(crowd, limit)
  local below, places = 0, nil
  for i = 1, #crowd, 2 do
    if crowd[i] > limit then
      places = math.min(places or limit - below, crowd[i] - below - crowd[i + 1])
    end
    below = below + crowd[i + 1]
  end
  return places or limit - below
end

-- Whether a job with a wider limit than any may have more: for narrow ones that is no matter.
local function crowd_has_room(crowd)
  return #crowd > 0 and crowd.total < crowd[#crowd - 1]
end
