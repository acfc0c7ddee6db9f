-- SPDX-License-Identifier: MIT
-- Runs the specs of local pools with pools at a server instead: mproc.Pool(n) gives a pool with a url. Their functions,
-- closures of the spec, are written into files as modules of their own, which the workers require like any other.

local fleet = require("redis.spec.support.fleet")
local lazy = require("mproc.lazy")
local mproc = require("mproc")
local server = require("redis.spec.support.server")

local far_pool = {}

local SHIPPED = "shipped_"
local PROCESSES = 2 -- of the one worker
local KEPT = { "on_crash", "retries", "task_timeout", "progress" } -- options that a far pool has, too

local at -- { server, fleet, folder, url, of = { bytes -> name } }

-- --- functions as modules ---

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

-- The name by which the workers know f.
local function ship(f)
  local bytes = mproc.encode(f)
  local name = at.of[bytes]
  if not name then
    at.shipped = at.shipped + 1
    name = SHIPPED .. at.shipped
    at.of[bytes] = name
    local text = "return { f = assert(require('mproc').decode(%q, { functions = true })) }"
    write(("%s/%s.lua"):format(at.folder, name), text:format(bytes))
  end
  return name .. ".f"
end

local names = lazy.load("mproc.pool.owner.names")
local name_of = names.of

local function name_or_ship(f)
  local ok, name = pcall(name_of, f)
  return ok and name or ship(f)
end

local function of(f)
  if type(f) == "table" and type(f[1]) == "function" then -- names.pair
    return name_or_ship(f[1]) .. " " .. name_or_ship(f[2])
  end
  return name_or_ship(f)
end

-- --- pools ---

local function Pool(given)
  local options = { url = at.url }
  for _, name in ipairs(KEPT) do
    options[name] = type(given) == "table" and given[name] or nil
  end
  return mproc.Pool(options)
end

local far_mproc = setmetatable({ Pool = Pool }, { __index = mproc })

-- Starts a server and a worker program, until stop().
function far_pool.start()
  at = { server = server.start(), folder = server.output_of("mktemp -d"), of = {}, shipped = 0 }
  at.url = at.server.url
  at.fleet = fleet.start(at.url, 1, {
    processes = PROCESSES, allow = SHIPPED .. "*.*", more = "--allow 'mproc.*' --allow 'string.*' --allow 'math.*'",
    env = ("LUA_PATH='%s/?.lua;%s'"):format(at.folder, package.path),
  })
  names.of = of
end

function far_pool.stop()
  names.of = name_of
  at.fleet:stop()
  at.server:stop()
  os.execute("rm -rf " .. at.folder)
end

-- Declares those tests of a spec file whose names are in the set `chosen` (all when it is nil), with such pools. The
-- names that were found are removed from the set. globals: of the spec that asks, which has busted's functions.
function far_pool.declare(path, chosen, globals)
  local function some(name, f)
    if not chosen or chosen[name] then
      if chosen then
        chosen[name] = nil
      end
      return globals.it(name, f)
    end
  end
  local own = {
    it = some,
    require = function(name)
      return name == "mproc" and far_mproc or require(name)
    end,
  }
  -- Empty, as busted's own is: such an environment becomes the receiver's.
  local env = setmetatable({}, { __index = function(_, key) return own[key] or globals[key] end })
  assert(loadfile(path, "t", env))()
end

return far_pool
