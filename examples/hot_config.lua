-- Workers serve requests from a configuration that another process replaces all the time. It is frozen, so that nobody
-- copies it, and a Dict's value, so that one store replaces it: each request sees one version of it, whole.

local mproc = require("mproc")

local shared = mproc.Dict()

local function publish(version)
  local config = { version = version, routes = {} }
  for i = 1, 200 do
    config.routes["/page" .. i] = { handler = "page", limit = 10 * version }
  end
  shared.config = mproc.freeze(config)
end

-- One request: everything that it needs is read from the one configuration that it got at its beginning.
local function serve(path)
  local config = shared.config
  local route = config.routes[path]
  assert(route.limit == 10 * config.version, "a mixture of two versions")
  return config.version
end

publish(1)
local publisher = mproc.Process(function()
  for version = 2, 100 do
    publish(version)
    mproc.sleep(0.001)
  end
end):start()

local pool <close> = mproc.Pool(2)
local served, last = 0, 0
repeat
  local requests = {}
  for i = 1, 200 do
    requests[i] = "/page" .. i
  end
  for _, version in ipairs(pool:map(serve, requests)) do
    served, last = served + 1, math.max(last, version)
  end
until last == 100
publisher:join()
print(served >= 200 and "all requests saw one version each, the last one " .. last)
