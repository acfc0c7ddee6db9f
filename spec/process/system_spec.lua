-- SPDX-License-Identifier: MIT
-- Small services: CPUs, clocks, sleeping, printing whole lines, start methods.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

describe("the system's services:", function()
  leaks.watch()

  describe("cpu_count", function()
    local function counted(environment, prefix)
      return program.shell(("exec env %s %s ${LUA:-lua5.4} -e 'print(pcall(require(\"mproc\").cpu_count))'"):format(
        environment, prefix or ""), 10).out
    end

    it("is at least 1, and at most the affinity mask", function()
      assert.truthy(mproc.cpu_count() >= 1)
      assert.equal("true\t1\n", counted("", "taskset -c 0"))
    end)

    it("can be set by the environment, to a count", function()
      assert.equal("true\t7\n", counted("MPROC_CPU_COUNT=7"))
      assert.equal("true\t" .. mproc.cpu_count() .. "\n", counted("MPROC_CPU_COUNT="))
      for _, bad in ipairs({ "0", "-1", "two", "1.5" }) do
        assert.truthy(counted("MPROC_CPU_COUNT=" .. bad):find("^false\t.*MPROC_CPU_COUNT.*" .. bad:gsub("%p", "%%%0")))
      end
    end)

    describe("is bounded by a cgroup's quota", function()
      local root

      local function write(path, text)
        os.execute(("mkdir -p '%s'"):format((root .. path):match("^(.*)/")))
        local file <close> = assert(io.open(root .. path, "w"))
        file:write(text)
      end

      local function quota(membership)
        write("/membership", membership)
        return require("mproc.core").cpu_quota(root .. "/membership", root)
      end

      before_each(function()
        root = os.tmpname()
        os.remove(root)
      end)
      after_each(function() os.execute(("rm -rf '%s'"):format(root)) end)

      it("of version 2, at its own level or above, rounded up", function()
        write("/a/b/cpu.max", "max 100000\n")
        assert.equal(0, quota("0::/a/b\n"))
        write("/a/cpu.max", "250000 100000\n")
        assert.equal(3, quota("0::/a/b\n"))
        write("/a/b/cpu.max", "50000 100000\n")
        assert.equal(1, quota("0::/a/b\n"))
      end)

      it("of version 1", function()
        write("/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n")
        write("/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
        assert.equal(4, quota("5:memory:/x\n4:cpu,cpuacct:/a/b\n"))
        write("/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n")
        assert.equal(0, quota("4:cpu,cpuacct:/a/b\n"))
      end)

      it("where its path cannot be seen, by what can", function()
        write("/cpu.max", "200000 100000\n")
        assert.equal(2, quota("0::/../../elsewhere\n"))
        assert.equal(0, quota("nonsense\n"))
        assert.equal(0, require("mproc.core").cpu_quota("/no/such/file", root))
      end)
    end)
  end)

  it("time is monotonic seconds, and sleep takes at least what it is asked for", function()
    local began = mproc.time()
    mproc.sleep(0.05)
    local took = mproc.time() - began
    assert.truthy(took >= 0.05 and took < 5)
    mproc.sleep(0)
    mproc.sleep(-1)
    assert.truthy(mproc.time() - began < 5)
    assert.has_error(function() mproc.sleep() end)
    assert.has_error(function() mproc.sleep("soon") end)
    assert.has_error(function() mproc.sleep(true) end)
  end)

  it("getpid and getppid", function()
    local file <close> = assert(io.open("/proc/self/stat"))
    local pid, ppid = file:read("a"):match("^(%d+) %(.*%) %a (%d+)")
    assert.equal(tonumber(pid), mproc.getpid())
    assert.equal(tonumber(ppid), mproc.getppid())
  end)

  describe("print", function()
    it("writes what print does, in order with io.write", function()
      local r = program.text([[
        local mproc = require("mproc")
        io.stdout:setvbuf("full")
        io.write("first ")
        mproc.print("a", 1, nil, 2.0, setmetatable({}, { __tostring = function() return "object" end }))
        mproc.print()
        io.write("last\n")
      ]])
      assert.equal("first a\t1\tnil\t2.0\tobject\n\nlast\n", r.out, r.err)
    end)

    it("never mixes lines of several processes, however long", function()
      local r = program.shell([[${LUA:-lua5.4} -e '
        local mproc = require("mproc")
        for n = 1, 4 do
          mproc.Process(function()
            for i = 1, 60 do
              mproc.print((tostring(n)):rep(i % 3 == 0 and 200000 or 100))
            end
          end):start()
        end
      ' | cat]], 60)
      local count = 0
      for line in r.out:gmatch("([^\n]*)\n") do
        count = count + 1
        assert.truthy(#line == 100 or #line == 200000, #line)
        assert.equal(line:sub(1, 1):rep(#line), line)
      end
      assert.equal(240, count)
    end)

    it("returns why it could not", function()
      local r = program.shell([[${LUA:-lua5.4} -e '
        local ok, message, name = require("mproc").print("x")
        io.stderr:write(tostring(ok), " ", name, "\n")
      ' >/dev/full]], 10)
      assert.equal("nil ENOSPC\n", r.err)
    end)
  end)

  it("a module that is loaded again still knows this process and its children", function()
    local p <close> = mproc.Process(function()
      for name in pairs(package.loaded) do
        if name:find("^mproc") then
          package.loaded[name] = nil
        end
      end
      local again = require("mproc")
      return again.current_process().name, again.parent_process().name, again ~= mproc
    end)
    p.name = "reloader"
    p:start()
    assert.same({ "reloader", "MainProcess", true }, { p:result(20) })
  end)
end)
