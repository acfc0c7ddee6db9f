-- SPDX-License-Identifier: MIT
-- What a fork leaves to the child and what it does not: hooks, stdin, output, randomness; and forks that fail.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

describe("a forked child", function()
  leaks.watch()

  local function in_child(f, ...)
    local p <close> = mproc.Process(f, ...):start()
    return p:result(20)
  end

  it("draws random numbers of its own", function()
    local seen = {}
    for _ = 1, 20 do
      local n = in_child(function() return math.random(0) end)
      assert.is_nil(seen[n])
      seen[n] = true
    end
    assert.is_nil(seen[math.random(0)])
  end)

  it("reads nothing from stdin, and takes nothing from its parent's", function()
    local r = program.shell([[printf 'one\ntwo\nthree\n' | ${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      print(io.read())
      local p = mproc.Process(function() return io.read(), io.read("a") end):start()
      print(p:result())
      print(io.read())
    ']], 20)
    assert.equal("one\nnil\t\ntwo\n", r.out, r.err)
    assert.equal("/dev/null", in_child(function()
      return require("lfs").symlinkattributes("/proc/self/fd/0", "target")
    end))
  end)

  it("reads nothing from a stdin that is closed", function()
    local r = program.shell([[${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      print(mproc.Process(function() return io.read() == nil, io.open("/dev/null") ~= nil end):start():result())
    ' <&-]], 20)
    assert.equal("true\ttrue\n", r.out, r.err)
  end)

  it("prints nothing that its parent had buffered, into whatever it writes", function()
    local r = program.text([[
      local mproc = require("mproc")
      io.stdout:setvbuf("full")
      local file = assert(io.tmpfile())
      file:write("once ")
      io.write("once ")
      for _ = 1, 3 do
        mproc.Process(function() io.write("child ") end):start():join()
      end
      file:seek("set")
      io.write(file:read("a"), "\n")
    ]])
    assert.equal("once child child child once \n", r.out, r.err)
  end)

  it("has no fds of its relatives' handles", function()
    local p <close> = mproc.Process(function() mproc.sleep(0.2) end):start()
    local before = in_child(leaks.open_files)
    assert.is_number(p.sentinel)
    assert.equal(before, in_child(leaks.open_files))
    p:kill()
  end)

  describe("with at_fork", function()
    -- Hooks cannot be taken back: each case is a program.
    local function run(source)
      local r = program.text('local mproc = require("mproc")\n' .. source, { seconds = 20 })
      assert.is_false(r.timed_out)
      return r
    end

    it("runs before backwards, parent and child forwards", function()
      local r = run([[
        for i = 1, 2 do
          mproc.at_fork{
            before = function() mproc.print("before", i) end,
            parent = function() io.write("parent ", i, "\n") end,
            child = function() mproc.print("child", i) end,
          }
        end
        io.stdout:setvbuf("full")
        mproc.Process(function() mproc.print("target") end):start():join()
      ]])
      assert.equal("before\t2\nbefore\t1\nchild\t1\nchild\t2\ntarget\nparent 1\nparent 2\n", r.out, r.err)
    end)

    it("does not fork when before raises, and undoes what has run", function()
      local r = run([[
        local log = {}
        mproc.at_fork{ before = function() error("no", 0) end, parent = function() log[#log + 1] = "not mine" end }
        local function note(word) return function() log[#log + 1] = word end end
        mproc.at_fork{ before = note("locked"), parent = note("unlocked") }
        local p = mproc.Process(print)
        print(pcall(p.start, p))
        print(table.concat(log, " "), p, #mproc.active_children())
      ]])
      assert.equal("false\tno\nlocked unlocked\tmproc.Process: 'Process-1' (not started)\t0\n", r.out, r.err)
    end)

    it("keeps nothing of a process whose start a hook has prevented", function()
      local r = run([[
        mproc.at_fork{ before = function() error("no", 0) end }
        local kept = setmetatable({}, { __mode = "k" })
        do
          local p = mproc.Process(print)
          kept[p] = true
          pcall(p.start, p)
        end
        collectgarbage()
        collectgarbage()
        print(next(kept))
      ]])
      assert.equal("nil\n", r.out, r.err)
    end)

    it("fails the child whose hook raises, and raises the parent's error after the start", function()
      local r = run([[
        mproc.at_fork{ child = function() error("in child", 0) end, parent = function() error("in parent", 0) end }
        local p = mproc.Process(print)
        print(pcall(p.start, p))
        print(p:join(), p.exitcode)
      ]])
      assert.equal("false\tin parent\ntrue\t1\n", r.out, r.err)
      assert.truthy(r.err:find("in child", 1, true))
    end)

    it("refuses what is no hook", function()
      assert.has_error(function() mproc.at_fork{ befor = print } end)
      assert.has_error(function() mproc.at_fork{ before = 1 } end)
      assert.has_error(function() mproc.at_fork(print) end)
    end)
  end)

  it("that cannot be made is an error value, and leaves nothing behind", function()
    local r = program.shell([[exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
      prlimit --nproc=1 ${LUA:-lua5.4} -e '
      local mproc, core = require("mproc"), require("mproc.core")
      local p = mproc.Process(function() return "later" end)
      collectgarbage() collectgarbage()
      local before = core.stats()
      local ok, message, name = p:start()
      print(ok, name, message:find("cannot start process .Process%-1.: ") == 1, p)
      ok, message, name = p:start()
      collectgarbage() collectgarbage()
      local after = core.stats()
      print(ok, name, after.objects - before.objects, after.processes - before.processes, #mproc.active_children())
      print(p:close())
    ']], 20)
    assert.equal("nil\tEAGAIN\ttrue\tmproc.Process: 'Process-1' (not started)\nnil\tEAGAIN\t0\t0\t0\n\n", r.out, r.err)
  end)
end)
