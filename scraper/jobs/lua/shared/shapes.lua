-- Links of which a job takes a bounded number: `job:<id>:shapes` maps their shape -> pages known.

local function charged_link(text)
  local limit, depth, reason, shape, url, extra =
    string.match(text, '^~(%d+) (%d+) (%S+) (%S+) (%S+) ?(.*)$')
  return {limit = tonumber(limit), depth = tonumber(depth), reason = reason, shape = shape,
          url = url, extra = extra}
end

-- Fill in how many pages a job knows of the shapes that are the keys of `counts`.
local function shapes_read(id, counts)
  local names = {}
  for shape in pairs(counts) do names[#names + 1] = shape end
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    local values = call('HMGET', job_key(id) .. ':shapes', unpack(names, first, last))
    for i = first, last do counts[names[i]] = number_of(values[i - first + 1]) end
  end
end

local function shapes_write(id, added)
  for shape, pages in pairs(added) do
    if pages > 0 then call('HINCRBY', job_key(id) .. ':shapes', shape, whole(pages)) end
  end
end

-- Pages found on a sitemap, which has no record, have a negative parent: -2 is the first of
-- `job:<id>:sitemaps`, -3 the second. -1 is the start page's.
local function sitemap_add(id, url)
  return whole(-1 - call('RPUSH', job_key(id) .. ':sitemaps', url))
end

local function found_on_get(id, parent)
  local number = tonumber(parent)
  if number == -1 then return '' end
  if number >= 0 then return call('LINDEX', job_key(id) .. ':recorded', parent) or '' end
  return call('LINDEX', job_key(id) .. ':sitemaps', whole(-2 - number)) or ''
end
