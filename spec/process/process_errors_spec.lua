-- SPDX-License-Identifier: MIT
-- What a child's error or death looks like: on stderr, in its exit code, and where its result is asked for.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

describe("the end of a child", function()
  leaks.watch()

  -- A child that says nothing on stderr: its errors are looked at elsewhere.
  local function quiet(f, ...)
    local core = require("mproc.core")
    local write_stderr = core.write_stderr
    core.write_stderr = function() end
    local p = mproc.Process(f, ...):start()
    core.write_stderr = write_stderr
    return p
  end

  local function outcome(p)
    local results = table.pack(pcall(p.result, p, 20))
    p:join(20)
    return table.unpack(results, 1, results.n)
  end

  describe("by an error", function()
    it("keeps the text of an object that cannot travel, and says why it could not", function()
      local p <close> = quiet(function()
        error(setmetatable({ log = io.stdout }, { __tostring = function() return "disk full" end }))
      end)
      local ok, message = outcome(p)
      assert.is_false(ok)
      assert.matches("^disk full\n%(the error object could not travel: cannot send error.*\nremote traceback", message)
      assert.equal(1, p.exitcode)
    end)

    it("has exit code 1, keeps the text and adds the remote traceback", function()
      local p <close> = quiet(function() error("boom") end)
      local ok, message = outcome(p)
      assert.is_false(ok)
      assert.matches("^spec/process/process_errors_spec.lua:%d+: boom\nremote traceback of process", message)
      assert.equal(1, p.exitcode)
      assert.same({ false, message }, { pcall(p.result, p) })
    end)

    it("that is a table stays that table", function()
      local p <close> = quiet(function() error({ code = 7, list = { 1 } }) end)
      local ok, err = outcome(p)
      assert.is_false(ok)
      assert.same({ code = 7, list = { 1 } }, err)
    end)

    it("that is a number or a boolean stays it", function()
      for _, value in ipairs({ 42, 1.5, false }) do
        local p <close> = quiet(function() error(value) end)
        assert.same({ false, value }, { outcome(p) })
      end
    end)

    it("that cannot travel leaves its text", function()
      local p <close> = quiet(function()
        error(setmetatable({ io.stdout }, { __tostring = function() return "odd error" end }))
      end)
      local ok, message = outcome(p)
      assert.is_false(ok)
      assert.truthy(message:find("^odd error\n"), message)
    end)

    it("without a value, or whose __tostring raises, has some text", function()
      local p <close> = quiet(function() error() end)
      local text = select(2, outcome(p)) -- Lua 5.5 has a text of its own
      assert.truthy(text:find("nil", 1, true) or text:find("no error object", 1, true), text)
      local q <close> = quiet(function() error(setmetatable({ print }, { __tostring = error })) end)
      assert.truthy(select(2, outcome(q)):find("__tostring raises", 1, true))
    end)

    it("in the middle of a yield, which has nowhere to go", function()
      local p <close> = coroutine.wrap(function() return quiet(function() coroutine.yield(1) end) end)()
      assert.truthy(select(2, outcome(p)):find("yield", 1, true))
    end)

    it("by an overflown stack, in a moment", function()
      local p <close> = quiet(function()
        local function f() return f() + 1 end
        f()
      end)
      local began = mproc.time()
      assert.truthy(select(2, outcome(p)):find("stack overflow", 1, true))
      assert.truthy(mproc.time() - began < 10)
    end)

    it("is on stderr with a traceback of the child alone, in one write", function()
      local r = program.text([[
        local mproc = require("mproc")
        local function inner() error("boom") end
        local function outer() inner() return 1 end
        local function starter() return mproc.Process{ target = outer, name = "w1" }:start() end
        local p = starter()
        p:join()
        print(p.pid, p.exitcode)
      ]])
      local pid = r.out:match("^(%d+)\t1\n$")
      assert.truthy(pid, r.out .. r.err)
      local first = "^mproc: process 'w1' %(pid " .. pid .. "%) failed: [^\n]*:2: boom\nstack traceback:\n"
      assert.truthy(r.err:find(first), r.err)
      assert.truthy(r.err:find("in upvalue 'inner'", 1, true), r.err)
      assert.is_nil(r.err:find("starter", 1, true))
      assert.is_nil(r.err:find("mproc/", 1, true), r.err)
    end)
  end)

  describe("by death", function()
    it("is an error that says how", function()
      local p <close> = mproc.Process{ name = "victim", target = function() mproc.sleep(100) end }:start()
      p:kill()
      local ok, err = outcome(p)
      assert.is_false(ok)
      assert.same({ "worker_died", p.pid, 9, -9, "victim" }, { err.kind, err.pid, err.signal, err.exitcode, err.name })
      assert.equal(("process 'victim' (pid %d) was killed by signal 9 (SIGKILL)"):format(p.pid), tostring(err))
    end)

    it("may come by os.exit, whatever the code", function()
      for _, code in ipairs({ 0, 3 }) do
        local p <close> = mproc.Process(function() os.exit(code) end):start()
        local ok, err = outcome(p)
        assert.is_false(ok)
        assert.same({ "worker_died", code }, { err.kind, err.exitcode })
        assert.is_nil(err.signal)
        assert.truthy(tostring(err):find("exit code " .. code, 1, true))
      end
    end)

    it("may come at any moment of its life", function()
      for round = 1, 150 do
        local p = mproc.Process(function() return ("x"):rep(round * 100) end):start()
        for _ = 1, (round * 37) % 400 * 20 do end -- luacheck: ignore 542
        p:kill()
        local ok, value = outcome(p)
        assert.truthy(ok and #value == round * 100 or not ok and value.kind == "worker_died", tostring(value))
        assert.truthy(p.exitcode == 0 or p.exitcode == -9)
        p:close()
      end
    end)

    it("travels like any value", function()
      local p <close> = mproc.Process(function()
        local inner = mproc.Process(function() mproc.sleep(100) end):start()
        inner:kill()
        return select(2, pcall(inner.result, inner))
      end):start()
      local err = p:result(20)
      assert.equal("worker_died", err.kind)
      assert.truthy(tostring(err):find("SIGKILL", 1, true))
    end)
  end)

  it("is learned when SIGCHLD is ignored", function()
    local r = program.shell([[exec sh -c 'trap "" CHLD; exec ${LUA:-lua5.4} -e "
      local mproc = require(\"mproc\")
      local p = mproc.Process(function() return 5 end):start()
      print(p:join(10), p:result(10), p.exitcode)
      local q = mproc.Process(function() os.exit(3) end):start()
      print(q:join(10), q.exitcode)
      local k = mproc.Process(function() mproc.sleep(100) end):start()
      k:terminate()
      print(k:join(10), k.exitcode, #mproc.active_children())
    "']], 20)
    assert.equal("true\t5\t0\ntrue\t3\ntrue\t-15\t0\n", r.out, r.err)
  end)
end)
