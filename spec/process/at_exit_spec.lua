-- SPDX-License-Identifier: MIT
-- mproc.at_exit: what runs at the orderly end of the process that registered it, and what does not.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

describe("at_exit", function()
  leaks.watch()

  -- What the program writes on stdout, and its exit code. Its lines are written at once, by whatever process.
  local function run(source)
    local r = program.text([[
      local mproc = require("mproc")
      local say = mproc.print
      local function at_exit(text) mproc.at_exit(function() say(text) end) end
    ]] .. source, { seconds = 20 })
    assert.is_false(r.timed_out, r.out .. r.err)
    return r
  end

  it("calls the functions at the end of the main script, the last first, before finalizers of what is older", function()
    local r = run([[
      OLD = setmetatable({}, { __gc = function() say("old") end })
      at_exit("first")
      at_exit("second")
      say("script")
    ]])
    assert.same({ "script\nsecond\nfirst\nold\n", "", 0 }, { r.out, r.err, r.code })
  end)

  it("calls them when the script ends by an error, and by os.exit with and without closing the state", function()
    local failed = run('at_exit("end") error("oops")')
    assert.same({ "end\n", 1 }, { failed.out, failed.code })
    assert.same({ "end\n", 3 }, { run('at_exit("end") os.exit(3)').out, run('at_exit("end") os.exit(3)').code })
    assert.same("end\n", run('at_exit("end") os.exit(0, true)').out)
  end)

  for how, ending in pairs({ ["its target returns"] = "", ["its target raises"] = "error('oops', 0)",
    ["os.exit is called"] = "os.exit(4)", ["os.exit is to close the state"] = "os.exit(4, true)" }) do
    it("calls them in the process that registered them: " .. how, function()
      local r = run(([[
        at_exit("parent's")
        local p = mproc.Process(function() at_exit("child's 1") at_exit("child's 2") %s end):start()
        p:join()
        say("joined")
      ]]):format(ending))
      assert.equal("child's 2\nchild's 1\njoined\nparent's\n", r.out, r.err)
    end)
  end

  it("calls them at the end of a pool's worker", function()
    local r = run([[
      local pool = mproc.Pool(1)
      pool:apply(function() require("mproc").at_exit(function() require("mproc").print("worker's") end) end)
      pool:join()
      say("joined")
    ]])
    assert.equal("worker's\njoined\n", r.out, r.err)
  end)

  it("does not call them when the process is killed", function()
    local r = run([[
      local e = mproc.Event()
      local p = mproc.Process(function() at_exit("never") e:set() mproc.sleep(20) end):start()
      e:wait()
      p:terminate()
      p:join()
    ]])
    assert.equal("", r.out, r.err)
  end)

  it("calls the others when one raises, and tells", function()
    local r = run([[
      at_exit("first")
      mproc.at_exit(function() error("broken", 0) end)
      mproc.at_exit(function() error(setmetatable({}, { __tostring = function() error("twice") end })) end)
    ]])
    assert.equal("first\n", r.out)
    assert.truthy(r.err:find("a function of at_exit failed in pid %d+: broken\n"), r.err)
    assert.truthy(r.err:find("__tostring raises", 1, true), r.err)
  end)

  it("goes on with the next when one calls os.exit, and takes what is registered meanwhile", function()
    local r = run([[
      at_exit("first")
      mproc.at_exit(function() os.exit(7) end)
      mproc.at_exit(function() at_exit("late") end)
    ]])
    assert.same({ "late\nfirst\n", 7 }, { r.out, r.code })
  end)

  it("calls them before children are waited for, and lets them use what is there", function()
    local r = run([[
      local go = mproc.Event()
      mproc.Process{ target = function() go:wait() say("child") end }:start()
      mproc.at_exit(function() say("exit") go:set() end)
    ]])
    assert.equal("exit\nchild\n", r.out, r.err)
  end)

  it("refuses what cannot be called", function()
    local r = run("print(pcall(mproc.at_exit, 5))")
    assert.truthy(r.out:find("f must be a function, got 5", 1, true), r.out)
  end)
end)
