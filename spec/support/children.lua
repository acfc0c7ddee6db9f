-- SPDX-License-Identifier: MIT
-- Processes as tests use them: each ends in the test that started it, within a time that no busy machine needs.

local children = {}

local SECONDS = 60

-- A process that runs f(...).
function children.start(f, ...)
  return require("mproc").Process(f, ...):start()
end

local function end_of(p)
  if not p:join(SECONDS) then
    error(("process %d does not end"):format(p.pid), 3)
  end
  local code = p.exitcode
  p:close()
  return code
end

-- Waits until p has ended in order.
function children.finish(p)
  local code = end_of(p)
  if code ~= 0 then
    error(("the process ended with %d"):format(code), 2)
  end
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
  for _, p in ipairs(all) do children.finish(p) end
end

function children.kill(p)
  p:kill()
  end_of(p)
end

-- What p's function returns. It has ended then: results may come before the end.
function children.results(p)
  local all = table.pack(p:result(SECONDS))
  end_of(p)
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
