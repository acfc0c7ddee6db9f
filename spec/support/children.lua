-- SPDX-License-Identifier: MIT
-- Processes as tests use them: each ends in the test that started it, within a time that no busy machine needs.

local children = {}

local SECONDS = 60

-- A process that runs f(...).
function children.start(f, ...)
  return require("mproc").Process(f, ...):start()
end

-- Waits until p has ended, in order or not; its exit code.
function children.reap(p)
  if not p:join(SECONDS) then
    error(("process %d does not end"):format(p.pid), 2)
  end
  local code = p.exitcode
  p:close()
  return code
end

-- Waits until p has ended in order.
function children.finish(p)
  local code = children.reap(p)
  if code ~= 0 then
    error(("the process ended with %d"):format(code), 2)
  end
end

-- The same for all of a list.
function children.finish_all(list)
  for _, p in ipairs(list) do children.finish(p) end
end

-- Four processes that begin f(i) together; waits until they have ended in order.
function children.four(f)
  local gate, all = require("mproc").Event(), {}
  for i = 1, 4 do
    all[i] = children.start(function()
      gate:wait()
      f(i)
    end)
  end
  gate:set()
  children.finish_all(all)
end

-- A process that has called f(...), keeps what that returned, and sleeps.
function children.parked(f, ...)
  local mproc = require("mproc")
  local ready <close> = mproc.Queue()
  local p = children.start(function(...)
    local kept = table.pack(f(...))
    ready:put(true)
    mproc.sleep(100)
    return kept
  end, ...)
  assert(ready:get(SECONDS), "the process is not ready")
  return p
end

function children.kill(p)
  p:kill()
  children.reap(p)
end

-- What p's function returns. It has ended then: results may come before the end.
function children.results(p)
  local all = table.pack(p:result(SECONDS))
  children.reap(p)
  return table.unpack(all, 1, all.n)
end

-- Stops p, and returns once it does not run any more; go_on lets it run again.
function children.stop(p)
  local proc = require("spec.support.proc")
  assert(os.execute("kill -STOP " .. p.pid))
  proc.until_true(function() return proc.state(p.pid) == "T" end, "the stop of " .. p.pid)
end

function children.go_on(p)
  assert(os.execute("kill -CONT " .. p.pid))
end

return children
