-- SPDX-License-Identifier: MIT
-- Signals: those that a process is sent by its handle, and Ctrl-C that nobody catches (else see interrupt_spec.lua).

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("a signal", function()
  leaks.watch()

  local function sleeper()
    return mproc.Process(function() mproc.sleep(100) end):start()
  end

  for method, exitcode in pairs({ terminate = -15, kill = -9, interrupt = -2 }) do
    it("by " .. method .. " ends the process", function()
      local p <close> = sleeper()
      assert.is_true(p[method](p))
      assert.is_true(p:join(20))
      assert.equal(exitcode, p.exitcode)
    end)

    it("by " .. method .. " is harmless after the end, and refused before the start", function()
      local p <close> = mproc.Process(function() end)
      assert.truthy(select(2, pcall(p[method], p)):find("before it is started", 1, true))
      p:start()
      p:join(20)
      assert.is_true(p[method](p))
      assert.equal(0, p.exitcode)
    end)
  end

  it("has its default action in a child, whatever the parent's mask and handlers", function()
    local r = program.text([[
      local mproc = require("mproc")
      local p = mproc.Process(function() mproc.sleep(100) end):start()
      p:terminate()
      p:join()
      print(p.exitcode)
    ]])
    assert.equal("-15\n", r.out, r.err)
    r = program.shell([[exec sh -c 'trap "" INT TERM; exec ${LUA:-lua5.4} -e "
      local mproc = require(\"mproc\")
      for _, name in ipairs{\"interrupt\", \"terminate\"} do
        local p = mproc.Process(function() mproc.sleep(100) end):start()
        p[name](p)
        p:join()
        print(p.exitcode)
      end
    "']], 20)
    assert.equal("-2\n-15\n", r.out, r.err)
  end)

  it("with tree = true takes the descendants", function()
    for method, exitcode in pairs({ terminate = -15, kill = -9 }) do
      local q <close> = mproc.Queue()
      local p <close> = mproc.Process(function()
        for _ = 1, 2 do
          mproc.Process(function()
            mproc.Process(function()
              q:put(mproc.getpid()) -- it has come up: one that has not keeps its holds for a while
              mproc.sleep(100)
            end):start()
            q:put(mproc.getpid())
            mproc.sleep(100)
          end):start()
        end
        mproc.sleep(100)
      end):start()
      local pids = {}
      for i = 1, 4 do
        pids[i] = q:get(20)
      end
      assert.is_true(p[method](p, { tree = true }))
      assert.is_true(p:join(20))
      assert.equal(exitcode, p.exitcode)
      for _, pid in ipairs(pids) do
        proc.until_true(function()
          local state = proc.state(pid)
          return state == nil or state == "Z"
        end, "the end of descendant " .. pid)
      end
    end
  end)

  it("takes only a table of options", function()
    local p <close> = sleeper()
    assert.has_error(function() p:terminate(true) end)
    assert.error_matches(function() p:terminate({ three = true }) end, "unknown option \"three\"")
    assert.is_true(p:is_alive())
    p:kill()
  end)

  fork_it("can be sent by a relative that inherited the handle", function()
    -- a handle is inherited as it is
    local p <close> = sleeper()
    local q <close> = mproc.Process(function() return p:is_alive(), p:terminate() end):start()
    assert.same({ true, true }, { q:result(20) })
    assert.is_true(p:join(20))
    assert.equal(-15, p.exitcode)
  end)

  it("of Ctrl-C that is not caught ends the program and its daemons", function()
    local r = program.text([[
      local mproc = require("mproc")
      local proc = require("spec.support.proc")
      local parent = mproc.getpid()
      local slow = mproc.Process{ daemon = true, target = function() mproc.sleep(100) end }:start()
      mproc.Process{ daemon = true, target = function()
        proc.wait_asleep(parent)
        os.execute("kill -INT " .. parent)
        mproc.sleep(100)
      end }:start()
      slow:join()
    ]], { seconds = 25 })
    assert.is_false(r.timed_out)
    assert.equal(1, r.code)
    assert.truthy(r.err:find("interrupted!", 1, true), r.err)
  end)
end)
