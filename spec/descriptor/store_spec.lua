-- SPDX-License-Identifier: MIT
-- The process that keeps descriptors: its death, its end with the tree, its limits, and when it does not answer.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local store = require("spec.support.store")

local children = require("spec.support.children")

-- Also one that has ended and is nobody's to reap yet.
local function is_gone(pid)
  local state = proc.state(pid)
  return not state or state == "Z"
end

local function kill(pid)
  assert(os.execute("kill -KILL " .. pid))
  proc.until_true(function() return is_gone(pid) end, "the end of " .. pid)
end

local function wait_gone(pid)
  proc.until_true(function() return is_gone(pid) end, "the end of store " .. pid)
end

-- Whether a socket of the abstract namespace has that name, as /proc shows it.
local function has_name(name)
  local file <close> = assert(io.open("/proc/net/unix"))
  return file:read("a"):find(name, 1, true) ~= nil
end

describe("the store of descriptors", function()
  setup(store.warm)
  leaks.watch()

  describe("when it is killed", function()
    it("loses what it kept, and the next one is kept by another", function()
      local lost = mproc.fd(0)
      local first = store.pid()
      kill(first)
      for _, name in ipairs({ "fileno", "detach", "file" }) do
        assert.error_matches(function() lost[name](lost) end, "the descriptor is lost")
      end
      local d <close> = mproc.fd(0)
      assert.not_equal(first, store.pid())
      assert.is_true(d:fileno() > 2)
      assert.error_matches(function() lost:fileno() end, "the descriptor is lost")
      lost:close()
    end)

    it("leaves what was fetched before", function()
      local d <close> = mproc.fd(0)
      local n = d:fileno()
      kill(store.pid())
      assert.equal(n, d:fileno())
    end)

    it("by many at once, gives them one store together", function()
      kill(store.pid())
      local pids = mproc.Queue()
      children.four(function()
        local d <close> = mproc.fd(0)
        assert(d:fileno())
        pids:put(store.pid())
      end)
      local pid = pids:get()
      for _ = 2, 4 do
        assert.equal(pid, pids:get())
      end
      assert.equal(pid, store.pid())
    end)
  end)

  it("does not keep what its starter had open, nor is it anybody's child", function()
    local result = program.text([[
      local mproc = require("mproc")
      local file = assert(io.open(arg[0]))
      local kept = assert(mproc.fd(0))
      local pid = require("mproc.core").descriptor_store()
      print(pid)
      os.execute("ls -l /proc/" .. pid .. "/fd")
      for line in io.lines("/proc/" .. pid .. "/status") do
        if line:find("^PPid") then print(line) end
      end
      print("own pid", mproc.getpid())
    ]])
    assert.equal("", result.err)
    local own = result.out:match("own pid%s+(%d+)")
    assert.truthy(own)
    assert.not_equal(own, result.out:match("PPid:%s+(%d+)"))
    assert.is_nil(result.out:find("lua_", 1, true))
    assert.equal(4, select(2, result.out:gsub("/dev/null", ""))) -- three, and what it keeps
    wait_gone(tonumber(result.out:match("^(%d+)")))
  end)

  it("keeps nothing of its starter's heap", function()
    local result = program.text([[
      local mproc = require("mproc")
      local t = {}
      for i = 1, 400000 do t[i] = { i } end
      assert(mproc.fd(0)):close()
      for line in io.lines("/proc/" .. require("mproc.core").descriptor_store() .. "/status") do
        print(line)
      end
    ]])
    local kib = tonumber(result.out:match("RssAnon:%s+(%d+)"))
    assert.is_true(kib < 4096 or os.getenv("ASAN_LUA") ~= nil, kib .. " KiB") -- ASan's own memory is there, too
  end)

  describe("ends with the tree", function()
    local function stores_end(last_words)
      local result = program.text([[
        local mproc = require("mproc")
        kept = mproc.fd(0)
        local pid = require("mproc.core").descriptor_store()
        io.write(pid, "\n")
        io.flush()
        local inode = io.popen("readlink /proc/" .. pid .. "/fd/3"):read():match("%d+")
        for line in io.lines("/proc/net/unix") do
          if line:find(" " .. inode .. " @", 1, true) then io.write("name ", line:match("@.*"), "\n") io.flush() end
        end
      ]] .. last_words)
      local pid = assert(tonumber(result.out:match("^%d+")), result.err)
      local name = assert(result.out:match("name (@.*)"), "its listener has a name")
      wait_gone(pid)
      proc.until_true(function() return not has_name(name) end, "the end of its name")
    end

    it("in order", function() stores_end("") end)
    it("by a kill", function() stores_end('os.execute("kill -KILL " .. mproc.getpid()) mproc.sleep(20)') end)
    it("also when the last process has never asked it", function()
      stores_end([[
        mproc.Process(function() mproc.sleep(0.3) end):start()
        os.execute("kill -KILL " .. mproc.getpid()) mproc.sleep(20)
      ]])
    end)
  end)

  it("refuses what it has no room for, by name, and goes on", function()
    local result = program.shell(("ulimit -n 60; exec %s -e %s"):format(program.lua, program.quote([[
      local mproc = require("mproc")
      local list, d, message, name = {}
      repeat
        d, message, name = mproc.fd(0)
        list[#list + 1] = d
      until not d or #list > 100
      print(#list > 20, #list < 60, name, message)
      list[1]:close()
      mproc.sleep(0.3)
      print(mproc.fd(0) ~= nil)
    ]])))
    assert.equal("", result.err)
    assert.matches("^true\ttrue\tEMFILE\t.+\ntrue\n$", result.out)
  end)

  it("tells who can have no more descriptors so, by name", function()
    local result = program.shell(("ulimit -Sn 30; exec %s -e %s"):format(program.lua, program.quote([[
      local mproc = require("mproc")
      local list, n, message, name = {}
      for i = 1, 40 do
        list[i] = assert(mproc.fd(0))
        n, message, name = list[i]:fileno()
        if not n then break end
      end
      print(#list > 10, name, message)
      list[1]:close()
      print(list[#list]:fileno() ~= nil)
    ]])))
    assert.equal("", result.err)
    assert.matches("^true\tEMFILE\t.+\ntrue\n$", result.out)
  end)

  it("that is stopped holds up nobody for whom Ctrl-C has come", function()
    local d <close> = mproc.fd(0)
    local pid = store.pid()
    local ready = mproc.Event()
    assert(os.execute("kill -STOP " .. pid))
    local p = mproc.Process({ target = function()
      ready:set()
      d:fileno()
    end }):start()
    ready:wait(60)
    proc.wait_asleep(p.pid)
    p:interrupt()
    assert.equal(-2, children.reap(p))
    assert(os.execute("kill -CONT " .. pid))
    assert.is_true(d:fileno() > 2)
  end)
end)
