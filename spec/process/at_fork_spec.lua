-- SPDX-License-Identifier: MIT
-- Hooks of at_fork that do what hooks should not: raise, start, yield and never come back, exit.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

describe("a hook of at_fork", function()
  leaks.watch()

  -- What the program writes on stdout; it has p, a process, and says what its hooks do.
  local function run(source)
    local r = program.text([[
      local mproc = require("mproc")
      local say = mproc.print
      local function once(f)
        local done = false
        return function(...) if not done then done = true return f(...) end end
      end
      local p = mproc.Process{ target = function() return "result" end, name = "p" }
      local function first(ok, err) return ok, (tostring(err):match("[^\n]*")) end
    ]] .. source, { seconds = 20 })
    assert.is_false(r.timed_out, r.out .. r.err)
    return r.out, r
  end

  it("that raises before keeps the process from starting, those that have run are undone, it can start then", function()
    assert.equal("before 2\nparent 2\ntrue\nnil\n0\nbefore 2\nparent 2\nresult\n", (run([[
      local raised = {}
      mproc.at_fork{ before = once(function() error(raised) end) }
      mproc.at_fork{ before = function() say("before 2") end, parent = function() say("parent 2") end }
      local ok, err = pcall(p.start, p)
      say(err == raised)
      say(p.pid)
      say(#mproc.active_children())
      say(p:start():result())
    ]])))
  end)

  it("that raises in the parent lets all run, and the child, which is known", function()
    assert.equal("false\tone\nother\ntrue\nresult\n", (run([[
      mproc.at_fork{ parent = once(function() error("one", 0) end) }
      mproc.at_fork{ parent = function() OTHER = true end }
      say(pcall(p.start, p))
      say(OTHER and "other")
      say(math.type(p.pid) == "integer")
      say(p:result())
    ]])))
  end)

  it("that raises in the child ends it with that error; os.exit with that code", function()
    assert.equal("false\tin the child\n1\nnil\t7\n", (run([[
      mproc.at_fork{ child = function() if mproc.current_process().name == "p" then error("in the child", 0) end end }
      mproc.at_fork{ child = function() if mproc.current_process().name == "q" then os.exit(7) end end }
      say(first(pcall(p.start(p).result, p)))
      say(p.exitcode)
      local q = mproc.Process{ target = print, name = "q" }:start()
      q:join()
      say(nil, q.exitcode)
    ]])))
  end)

  it("that starts the same process is refused; another one it may start", function()
    local out = run([[
      local q = mproc.Process{ target = function() return "other" end, name = "q" }
      mproc.at_fork{ before = once(function() say(first(pcall(p.start, p))) q:start() end) }
      say(p:start():result())
      say(q:result())
    ]])
    assert.truthy(out:find("^false\t[^\n]*process 'p' has already been started[^\n]*\nresult\nother\n$"), out)
  end)

  it("may yield, and when its coroutine is closed nothing was started", function()
    assert.equal("nil\n0\nresult\n", (run([[
      mproc.at_fork{ before = once(coroutine.yield) }
      local co = coroutine.create(function() p:start() end)
      coroutine.resume(co)
      coroutine.close(co)
      say(p.pid)
      say(#mproc.active_children())
      say(p:start():result())
    ]])))
    assert.equal("result\n", (run([[
      mproc.at_fork{ before = once(coroutine.yield) }
      local go_on = coroutine.wrap(function() p:start() return p:result() end)
      go_on()
      say(go_on())
    ]])))
  end)

  it("that registers others leaves them for the next start", function()
    assert.equal("1\n2\n", (run([[
      local count = 0
      mproc.at_fork{ before = once(function()
        mproc.at_fork{ parent = function() count = count + 1 end }
      end), parent = function() count = count + 1 end }
      p:start():join()
      say(count)
      count = 0
      mproc.Process(function() end):start():join()
      say(count)
    ]])))
  end)

  it("that exits the program ends it", function()
    local _, r = run('mproc.at_fork{ before = function() os.exit(9) end } p:start()')
    assert.equal(9, r.code)
  end)

  it("that closes the process keeps it from being started", function()
    local out = run([[
      mproc.at_fork{ before = once(function() p:close() end) }
      say(first(pcall(p.start, p)))
      say(#mproc.active_children())
    ]])
    assert.truthy(out:find("^false\t[^\n]*process 'p' is closed\n0\n$"), out)
  end)
end)
