-- SPDX-License-Identifier: MIT
-- Addresses of queues on the command line, and the rock that knows them. Used by the verbs worker and top.

local usage = require("mproc.cli.usage")

local far = {}

local ENVIRONMENT = "MPROC_URL"
local ROCKS = { redis = "mproc-redis", rediss = "mproc-redis" }

-- Whether an operand is an address rather than a pid, say.
function far.is_address(text)
  return text ~= nil and text:find("^[%a+]+://") ~= nil
end

-- The module for addresses of that scheme. Its name is what stands before a "+".
local function load_engine(scheme)
  local name = scheme:match("^%a+")
  local module = "mproc.far." .. name
  local ok, engine = pcall(require, module)
  if ok then
    return engine
  elseif ROCKS[name] then
    usage.fail("queues at %s:// need the rock %s: luarocks install %s\n%s", scheme, ROCKS[name], ROCKS[name], engine)
  end
  usage.fail("there is no engine for queues at %s://; redis:// and rediss:// have one, the rock mproc-redis", scheme)
end

-- The engine for an address, which it has read, and the target that it made of it. text: nil for MPROC_URL; version: of
-- the code, or nil.
function far.open(text, version)
  local address = text or os.getenv(ENVIRONMENT)
  if not far.is_address(address) then
    usage.fail("URL must be the address of a queue, as in redis://host/0?queue=name, here or in %s", ENVIRONMENT)
  end
  local engine = load_engine(address:match("^([%a+]+)://"))
  local target, message = engine.parse(text, version)
  if not target then
    usage.fail("%s", message)
  end
  return engine, target
end

return far
