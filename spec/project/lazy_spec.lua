-- SPDX-License-Identifier: MIT
-- What is loaded at its first use, and that nobody notices.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

describe("what is loaded later", function()
  leaks.watch()

  it("is not there at first, wherever the program finds its modules", function()
    local here = program.shell("pwd").out:gsub("\n", "")
    for _, lua_path in ipairs({ here .. "/lua", "./lua" }) do
      local result = program.text([[
        require("mproc")
        for _, name in ipairs({ "wait", "context", "process.child", "process.exits", "debug.leaks" }) do
          assert(not package.loaded["mproc." .. name], name)
        end
      ]], { env = ("LUA_PATH='%s/?.lua;%s/?/init.lua'"):format(lua_path, lua_path) })
      assert.same({ 0, "" }, { result.code, result.err })
    end
  end)

  it("gives an object its methods in a process that has made none of its kind", function()
    local result = program.text([[
      local mproc = require("mproc")
      local q, back = mproc.Queue(), mproc.Queue()
      local p = mproc.Process(function()
        for _, sent in q:items() do
          local object, method = sent[1], sent[2]
          local ok, err = pcall(function()
            local scope = object[method](object, function() end)
            return scope, object.nothing
          end)
          back:put(ok and "fine" or err)
        end
      end):start()
      for _, sent in ipairs({
        { mproc.Event(), "with" }, { mproc.RWLock(), "read_with" }, { mproc.RWLock(), "writes" },
        { mproc.Semaphore(1), "with" }, { mproc.BoundedSemaphore(1), "with" },
        { mproc.Barrier(1), "with" }, { mproc.Condition(), "with" },
      }) do
        q:put(sent)
        print(back:get(10))
      end
      q:close()
      p:join()
    ]])
    assert.equal(("fine\n"):rep(7), result.out, result.err)
  end)

  it("blames the same line", function()
    local result = program.text([[
      local mproc = require("mproc")
      print(pcall(function() mproc.Semaphore("x") end))
      print(pcall(function() mproc.wait(1) end))
      print(pcall(function() mproc.get_context("vfork") end))
    ]])
    local _, count = result.out:gsub("false\t[^\n]-:%d: ", "")
    assert.equal(3, count, result.out)
  end)

  it("is found though the program looks for modules elsewhere, or has unloaded all of mproc", function()
    local here = program.shell("pwd").out:gsub("\n", "")
    for _, change in ipairs({ "package.path = '/nowhere/?.lua'", "package.path = nil", "require = nil",
      "package.searchers = {}", "package.loaded = {}", "io, os, debug, string, table, ipairs, type, error, pcall = nil",
      [[
      for name in pairs(package.loaded) do
        if name:find("^mproc") then
          package.loaded[name] = nil
        end
      end
    ]] }) do
      local result = program.text([[
        local mproc = require("mproc")
        local s = mproc.Semaphore(1)
        ]] .. change .. [[
        local path = package.path
        print(s:with(math.abs, -1))
        print(mproc.Event():with(math.abs, -2))
        print(s:with(math.abs, -3))
        local a, b = mproc.Pipe()
        b:send(4)
        print(a:recv(10))
        print(#mproc.wait({ a }, 0))
        local pool <close> = mproc.Pool(1)
        print(pool:submit(math.abs, -6):get())
        print(mproc.get_start_method(), path == package.path)
      ]], { seconds = 20, env = ("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua'"):format(here, here) })
      assert.same({ "1\n2\n3\n4\n0\n6\nfork\ttrue\n", "" }, { result.out, result.err }, change)
    end
  end)

  -- First uses of everything, with what has been done to the program before.
  local function uses(before, env)
    return program.text([[
      local mproc = require("mproc")
      ]] .. before .. [[
      local a, b = mproc.Pipe()
      b:send(4)
      print(#mproc.wait({ a }, 10), mproc.Semaphore(1):with(math.abs, -1), mproc.Condition():with(math.abs, -2))
      print(mproc.Process(function() mproc.at_exit(function() mproc.print("exit") end) return 3 end):start():result())
      print(mproc.get_start_method(), mproc.worker())
      local pool <close> = mproc.Pool(1)
      print(pool:map(math.abs, { -5 })[1], mproc.wait_all({ pool:submit(math.abs, -6) })[1]:get())
      mproc.log("debug")
      mproc.log("off")
    ]], { seconds = 20, env = env })
  end
  local RIGHT = "1\t1\t2\n3\nfork\tnil\n5\t6\n"

  it("needs no descriptor", function()
    local r = uses([[
      require("hostile").files(20)
      repeat local file = io.open("/dev/null") FILES = { file, FILES } until not file
    ]])
    assert.same({ RIGHT, "" }, { (r.out:gsub("exit\n", "")), r.err })
  end)

  it("needs no file: the root is another, or the files are replaced", function()
    local changed = uses('assert(require("hostile").chroot("/proc"))')
    if changed.err:find("Operation not permitted", 1, true) then
      return pending("only root may change the root")
    end
    assert.same({ RIGHT, "" }, { (changed.out:gsub("exit\n", "")), changed.err })
    local copy = program.shell("d=$(mktemp -d) && cp -r lua $d && echo $d").out:gsub("\n", "")
    local env = ("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua'"):format(copy, copy)
    local replaced = uses(([[
      os.execute("find %s -name '*.lua' -exec sh -c 'echo garbage >$0' {} \\;")
    ]]):format(copy), env)
    assert.same({ RIGHT, "" }, { (replaced.out:gsub("exit\n", "")), replaced.err })
    program.shell("rm -r " .. copy)
  end)

  it("is tried again after it could not be loaded", function()
    local result = program.text([[
      local mproc = require("mproc")
      local q = mproc.Queue()
      debug.sethook(function()
        debug.sethook()
        error("no", 0)
      end, "", 10)
      print(pcall(mproc.wait, { q }, 0))
      print(#mproc.wait({ q }, 0))
    ]])
    assert.equal("false\tno\n0\n", result.out, result.err)
  end)

  it("includes what debug mode needs, though the program has changed its directory", function()
    local result = program.text([[
      local mproc = require("mproc")
      assert(require("lfs").chdir("/"))
      mproc.log("debug")
      mproc.log("off")
    ]])
    assert.same({ 0, "" }, { result.code, result.err })
  end)
end)
