#!lua flags=no-writes
-- Count the work that a free worker could take now: pages of lanes that are ready, not those that
-- wait for their host, their time or a pause. Bounded, so "256 lanes" may stand for more.
-- KEYS[1] string `{queue}:meta`
-- ARGV    1 pools (JSON), 2 most lanes to look at
-- Reply   {lanes, pages}
local lanes, pages, most = 0, 0, tonumber(ARGV[2])
if call('HGET', META, 'paused') == '1' then return {0, 0} end
for _, pool in ipairs(cjson.decode(ARGV[1])) do
  local ready = P .. 'ready:' .. pool
  for _, priority in ipairs(call('ZRANGE', ready, 0, most - 1)) do
    for _, customer in ipairs(call('ZRANGE', ready .. '|' .. priority, 0, most - 1)) do
      local place = ready .. '|' .. priority .. '|' .. customer
      for _, lane in ipairs(call('ZRANGE', place, 0, most - 1)) do
        if lanes >= most then return {lanes, pages} end
        local id, host = string.match(lane, '^(%S+) (.*)$')
        lanes, pages = lanes + 1, pages + call('LLEN', lane_key(id, host))
      end
    end
  end
end
return {lanes, pages}
