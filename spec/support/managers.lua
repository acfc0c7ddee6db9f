-- SPDX-License-Identifier: MIT
-- Managers as specs use them, with one class of objects, and what can be seen of an object's end.

local mproc = require("mproc")
local proc = require("spec.support.proc")

local managers = {}

local Counter = {}
Counter.__index = Counter

function Counter:add(k)
  self.n = self.n + (k or 1)
  return self.n
end

function Counter:get() return self.n end
function Counter:me() return self end
function Counter.many(_, ...) return ... end
function Counter.fail(_, value, level) error(value, level or 0) end
function Counter:fail_with_file() error({ file = io.stdout }) end -- luacheck: ignore 212
function Counter:give(name) return self[name] end
function Counter.call(_, what) return "called " .. tostring(what) end
function Counter.close() return "its own close" end
function Counter:_private() return self.n end
function Counter:keep(value) self.kept = value end
function Counter:use(method, ...) return self.kept[method](self.kept, ...) end
function Counter:pid() return mproc.getpid() end -- luacheck: ignore 212
function Counter:nothing() end -- luacheck: ignore 212
function Counter:sleep(s) mproc.sleep(s) return "slept" end -- luacheck: ignore 212
function Counter:quit(code) os.exit(code) end -- luacheck: ignore 212

-- Puts its number into `begun`, if there is one, and waits for the event.
function Counter:wait(event, begun)
  if begun then begun:set() end
  event:wait()
  return self:add(1)
end

local gone = {}
function gone.__gc(guard) guard.value:add(1) end

-- value: a Value that counts the objects that were collected.
local function new(n, value)
  local guard = value and setmetatable({ value = value }, gone)
  return setmetatable({ n = n or 0, kept = nil, guard = guard }, Counter)
end

managers.Counter = new

-- A manager of Counters; the options are Manager's.
function managers.start(options)
  options = options or {}
  options.constructors = options.constructors or { Counter = new }
  return assert(mproc.Manager(options))
end

-- Ends it without a word.
function managers.kill(m)
  assert(os.execute("kill -KILL " .. m.pid))
end

-- Waits until a Value has that value.
function managers.until_value(value, n)
  proc.until_true(function() return value.value == n end, "a value of " .. n)
end

-- The error of f(...), which must raise one of that kind within two seconds.
function managers.died(f, ...)
  local began = mproc.time()
  local ok, err = pcall(f, ...)
  assert(not ok, "no error")
  assert(type(err) == "table" and err.kind == "manager_died", "another error: " .. tostring(err))
  assert(mproc.time() - began < 2, "it took " .. mproc.time() - began .. " s")
  return err
end

return managers
