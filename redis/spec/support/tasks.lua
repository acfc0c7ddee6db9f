-- SPDX-License-Identifier: MIT
-- What the specs' tasks do: a module that owner and workers require.

local mproc = require("mproc")

local tasks = {}

function tasks.double(x)
  return 2 * x
end

function tasks.add(a, b)
  return a + b
end

function tasks.is_even(x)
  return x % 2 == 0
end

function tasks.all(...)
  return select("#", ...), ...
end

function tasks.nap(seconds)
  mproc.sleep(seconds)
  return seconds
end

-- An item { value, seconds }.
function tasks.slow(item)
  mproc.sleep(item[2])
  return item[1]
end

-- Fails; what it says is what it was given.
function tasks.fail(x)
  error(x, 0)
end

-- A result that cannot leave the machine.
function tasks.lock()
  return mproc.Lock()
end

function tasks.long(bytes)
  return ("x"):rep(bytes)
end

-- Ends its process.
function tasks.die()
  os.execute("kill -KILL " .. mproc.getpid())
end

-- Leaves a line in the file, to be counted.
function tasks.mark(item)
  local file <close> = assert(io.open(item[1], "a"))
  file:write(item[2], "\n")
  file:flush()
  mproc.sleep(item[3] or 0)
  return item[2]
end

function tasks.where()
  local me = mproc.worker()
  return me.name, me.attempt, me.pid
end

return tasks
