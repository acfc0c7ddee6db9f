-- SPDX-License-Identifier: MIT
-- Functions that worker programs of the specs may run.

local mproc = require("mproc")

local tasks = { text = "no function" }

function tasks.double(x)
  return 2 * x
end

function tasks.add(a, b)
  return a + b, "second"
end

function tasks.fail(x)
  error("no " .. tostring(x), 0)
end

function tasks.fail_with_table(x)
  error({ code = x })
end

function tasks.pid()
  return mproc.getpid()
end

function tasks.sleep(seconds)
  mproc.sleep(seconds)
  return seconds
end

-- Marks in a file that it runs, then sleeps.
function tasks.mark(path, seconds)
  local file <close> = assert(io.open(path, "a"))
  file:write(mproc.getpid(), "\n")
  file:flush()
  mproc.sleep(seconds or 0)
  return path
end

-- Ends its process for 3.
function tasks.leave_at_3(x)
  if x == 3 then
    os.exit(7)
  end
  return x
end

-- Kills its process as often as the file has no more than `times` lines.
function tasks.die_until(path, times)
  local file <close> = assert(io.open(path, "a+"))
  local count = select(2, file:read("a"):gsub("\n", ""))
  file:write("x\n")
  file:flush()
  if count < times then
    os.execute("kill -9 " .. mproc.getpid())
    mproc.sleep(10)
  end
  return mproc.worker().attempt
end

-- Kills the whole worker program that runs it.
function tasks.kill_supervisor(x)
  if x == 3 then
    os.execute("kill -9 " .. mproc.getppid())
    mproc.sleep(10)
  end
  return x
end

function tasks.a_function()
  return print
end

function tasks.a_queue()
  return mproc.Queue()
end

function tasks.big(n)
  return ("x"):rep(n)
end

function tasks.worker()
  return mproc.worker()
end

function tasks.begun()
  return _G.begun
end

return tasks
