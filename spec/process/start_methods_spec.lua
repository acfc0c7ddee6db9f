-- SPDX-License-Identifier: MIT
-- Start methods: their names, contexts, and what a process that is no fork has and has not.

local blame = require("spec.support.blame")
local cli = require("spec.support.cli")
local lfs = require("lfs")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

if os.getenv("ASAN_LUA") then -- whose vfork bears no second one in its child, as the start of a fork server has
  pending("fork servers under ASan")
  return
end

describe("start methods", function()
  local before = mproc.get_start_method()
  local server = mproc.get_context("forkserver").Process(function() end):start() -- no leak of any test
  server:join()
  server:close()
  mproc.fd(1):close() -- nor is the connection to the store of descriptors
  leaks.watch()

  after_each(function() mproc.set_start_method(before) end)

  describe("by name", function()
    it("are fork, spawn and forkserver, of which fork is the default", function()
      assert.same({ "fork", "spawn", "forkserver" }, mproc.get_all_start_methods())
      local r = program.text([[print(require("mproc").get_start_method())]])
      assert.equal("fork\n", r.out)
    end)

    it("are set for what starts from then on, here and in children", function()
      for _, method in ipairs(mproc.get_all_start_methods()) do
        mproc.set_start_method(method)
        assert.equal(method, mproc.get_start_method())
        local p <close> = mproc.Process(function() return mproc.get_start_method() end):start()
        assert.equal(method, p:result(20))
      end
    end)

    it("blame who names another", function()
      blame.caller(function() mproc.set_start_method("vfork") end, "unknown start method \"vfork\"", "\"spawn\"")
      blame.caller(function() mproc.set_start_method() end, "unknown start method", "nil")
      blame.caller(function() mproc.get_context(5) end, "unknown start method 5")
      blame.caller(function() mproc.set_executable("") end, "path must name an interpreter")
      blame.caller(function() mproc.set_executable() end, "path must be a string")
      blame.caller(function() mproc.set_forkserver_preload("lfs") end, "takes a list")
      blame.caller(function() mproc.set_forkserver_preload({ "lfs", 1 }) end, "modules[2] must be a string")
    end)
  end)

  describe("in a context", function()
    it("bind processes, subclasses, pools and managers, whatever is set elsewhere", function()
      for _, method in ipairs({ "spawn", "forkserver", "fork" }) do
        mproc.set_start_method(method == "fork" and "spawn" or "fork")
        local context = mproc.get_context(method)
        _G.known_to_forks = true -- luacheck: ignore
        local function look() return _G.known_to_forks == true end
        local p <close> = context.Process(look):start()
        assert.equal(method == "fork", p:result(20), method)
        local Class = context.Process:extend()
        function Class.run() return look() end
        local q <close> = Class():start()
        assert.equal(method == "fork", (q:result(20)), method)
        local pool <close> = context.Pool(1)
        assert.equal(method == "fork", pool:apply(look), method)
        local manager <close> = context.Manager{ Looker = function() return { look = look } end }
        assert.equal(method == "fork", manager:create("Looker"):look(), method)
        _G.known_to_forks = nil -- luacheck: ignore
      end
    end)

    it("have all of mproc, are one for a method, and travel", function()
      local context = mproc.get_context("spawn")
      assert.equal(mproc.Queue, context.Queue)
      assert.equal(context, mproc.get_context("spawn"))
      assert.equal("spawn", context.get_start_method())
      assert.equal(context, context.get_context())
      assert.equal(mproc.get_context(), mproc.get_context(mproc.get_start_method()))
      local p <close> = context.Process(function() return context.get_start_method() end):start()
      assert.equal("spawn", p:result(20))
    end)
  end)

  for _, method in ipairs({ "spawn", "forkserver" }) do
    describe("by " .. method, function()
      local context = mproc.get_context(method)

      local function in_child(f, ...)
        local p <close> = context.Process(f, ...):start()
        return p:result(20)
      end

      it("send target, arguments and upvalues, with the objects in them", function()
        local q, lock, d, fd = mproc.Queue(), mproc.Lock(), mproc.Dict({ n = 1 }), mproc.fd(1)
        local frozen, value = mproc.freeze({ deep = { 1, 2 } }), mproc.Value("integer", 5)
        local a, b = mproc.Pipe()
        local function work(connection, list)
          lock:with(function() d.n = d.n + 1 end)
          value:add(1)
          connection:send(frozen.deep[2])
          q:put(list[1](list[2]))
          return fd:fileno() > 2
        end
        assert.is_true(in_child(work, b, { function(x) return x * 2 end, 21 }))
        assert.same({ 42, 2, 6, 2 }, { q:get(20), d.n, value.value, a:recv(20) })
      end)

      it("have nothing else of their parent", function()
        local file <close> = assert(io.open("Makefile"))
        local list = in_child(function()
          local names = {}
          for name in lfs.dir("/proc/self/fd") do
            names[#names + 1] = tonumber(name)
          end
          table.sort(names)
          return table.concat(names, " ")
        end)
        assert.equal("0 1 2 3 40", list) -- the folder's, and the arena's
        assert.truthy(file)
      end)

      it("have their parent's paths, arg and folder, no stdin, and random numbers of their own", function()
        local path, cpath, args = package.path, package.cpath, table.concat(arg, " ")
        assert.same({ path, cpath, args }, { in_child(function()
          return package.path, package.cpath, table.concat(arg, " ")
        end) })
        assert.is_nil(in_child(function() return io.read() end))
        assert.equal(io.popen("pwd"):read(), in_child(function() return io.popen("pwd"):read() end))
        assert.not_equal(in_child(math.random, 0), in_child(math.random, 0))
      end)

      it("know who they are and who their parent is", function()
        local name, pid, ppid, parent, alive, daemon = in_child(function()
          local me, parent = mproc.current_process(), mproc.parent_process()
          return me.name, me.pid, mproc.getppid(), parent.pid, parent:is_alive(), me.daemon
        end)
        assert.truthy(name:find("^Process%-"))
        assert.not_equal(mproc.getpid(), pid)
        assert.same({ mproc.getpid(), mproc.getpid(), true, false }, { ppid, parent, alive, daemon })
        assert.equal("Process-1", (in_child(function() return mproc.Process(print).name:match("%-.*:(%d+)$")
          and "Process-1" end)))
      end)

      it("make objects of subclasses, their fields and methods, which may name each other", function()
        local Base = mproc.Process:extend()
        function Base.factor() return 2 end
        local Class = Base:extend()
        function Class:init(n) self.n = n end
        function Class:run() return Class.factor() * self:twice(), self.name, self:is_alive() end
        function Class:twice() return self.n * Base.factor() end
        mproc.set_start_method(method)
        local p <close> = Class(10)
        p.name = "renamed"
        assert.same({ 40, "renamed", true }, { p:start():result(20) })
      end)

      it("end as forks do", function()
        local function exitcode(f, act)
          local p <close> = context.Process(f):start()
          if act then
            p[act](p)
          end
          assert.is_true(p:join(20))
          return p.exitcode
        end
        assert.equal(0, exitcode(function() end))
        assert.equal(7, exitcode(function() os.exit(7) end))
        assert.equal(1, exitcode(function() os.exit(false) end))
        local function sleep() mproc.sleep(100) end
        assert.same({ -9, -15, -2 }, { exitcode(sleep, "kill"), exitcode(sleep, "terminate"),
          exitcode(sleep, "interrupt") })
        assert.equal(-11, exitcode(function() os.execute("kill -SEGV $PPID") mproc.sleep(10) end))
      end)

      it("raise what cannot travel in start, at the caller's line, with its path", function()
        local file = io.stdout
        local p = context.Process(function() return file end)
        blame.caller(function() p:start() end, "cannot send target.<upvalue file", "a file belongs to one process")
        assert.is_nil(p.pid)
        local Class = context.Process:extend({ run = function() end })
        local q = Class()
        q.log = file
        blame.caller(function() q:start() end, "cannot send process.log", "a file belongs to one process")
        local ok, message = pcall(context.Pool, { processes = 1, initializer = function() return file end })
        assert.is_false(ok)
        assert.truthy(message:find("cannot send initializer.<upvalue file", 1, true), message)
        q.log = nil
        q:start()
        assert.is_true(q:join(20))
        q:close()
      end)

      it("may start others of any method", function()
        assert.same({ "fork", "spawn", "forkserver" }, { in_child(function()
          local names = {}
          for i, other in ipairs(mproc.get_all_start_methods()) do
            local p <close> = mproc.get_context(other).Process(function() return other end):start()
            names[i] = p:result(20)
          end
          return table.unpack(names)
        end) })
      end)

      it("run pools, whose dead workers are replaced", function()
        local pool <close> = context.Pool{ processes = 2, initargs = { 5 },
          initializer = function(n) _G.offset = n end } -- luacheck: ignore
        assert.same({ 6, 7, 8 }, pool:map(function(x) return x + _G.offset end, { 1, 2, 3 }))
        local ok, err = pcall(pool.apply, pool, function() os.execute("kill -KILL $PPID") mproc.sleep(10) end)
        assert.same({ false, "worker_died", 9 }, { ok, err.kind, err.signal })
        assert.same({ 6, 7, 8 }, pool:map(function(x) return x + _G.offset end, { 1, 2, 3 }))
      end)
    end)
  end

  describe("with other programs", function()
    it("do without an interpreter in arg when they are told one", function()
      local r = program.text([[
        local mproc = require("mproc")
        local lua = arg[-1]
        arg = nil
        mproc.set_start_method("spawn")
        local p = mproc.Process(function() return "up" end)
        print(pcall(p.start, p))
        mproc.set_executable("/nowhere/lua")
        print(p:start())
        mproc.set_executable(lua)
        print(p:start():result())
      ]])
      local first, second, third = r.out:match("^(.-)\n(.-)\n(.-)\n$")
      assert.truthy(first and first:find("mproc.set_executable(path)", 1, true), r.out .. r.err)
      assert.truthy(second:find("^nil\tcannot start process 'Process%-1'.*\tENOENT$"), second)
      assert.equal("up", third)
    end)

    it("raise where the shared memory has no descriptor, and fork goes on", function()
      local TRY = [[
        for _, method in ipairs({ "spawn", "forkserver" }) do
          local p = mproc.get_context(method).Process(print)
          print(select(2, pcall(p.start, p)):match("can be started by \"fork\" alone: (.*) %("))
        end
        print(mproc.Process(function() return "up" end):start():result())
      ]]
      local SAID = ("the shared memory has no descriptor here\n"):rep(2) .. "up\n"
      local denied = program.text([[
        require("hostile").deny(1, "memfd_create")
        local mproc = require("mproc")
      ]] .. TRY)
      assert.same({ SAID, "" }, { denied.out, denied.err })
      local closed = program.text([[
        local mproc, hostile = require("mproc"), require("hostile")
        for fd = 3, 100 do hostile.close(fd) end
        for _ = 1, 60 do io.open("/dev/null") end -- something else has its number
      ]] .. TRY)
      assert.same({ SAID, "" }, { closed.out, closed.err })
    end)

    it("find a class by its module, by the path that their parent has now", function()
      local folder = cli.folder(finally)
      cli.write(folder .. "/made_for_this.lua", [[
        local mproc = require("mproc")
        local made = { Class = mproc.Process:extend() }
        made.tag = {}
        function made.Class:init(n) self.n = n end
        function made.Class:run() return self.n, getmetatable(made.Class).__index == mproc.Process, made.tag end
        return made
      ]])
      local r = program.text(([[
        local mproc = require("mproc")
        package.path = package.path .. ";%s/?.lua"
        local made = require("made_for_this")
        mproc.set_start_method("spawn")
        local n, is_class, tag = made.Class(5):start():result()
        print(n, is_class, type(tag))
      ]]):format(folder))
      assert.same({ "5\ttrue\ttable\n", "" }, { r.out, r.err })
    end)

    it("call what is registered for an end, and nothing that is for forks", function()
      local r = program.text([[
        local mproc = require("mproc")
        mproc.at_fork{ child = function() print("forked") end, before = function() print("before") end }
        for _, method in ipairs({ "spawn", "forkserver" }) do
          mproc.get_context(method).Process(function()
            mproc.at_exit(function() print("at its end") end)
          end):start():join()
        end
      ]])
      assert.same({ "at its end\nat its end\n", "" }, { r.out, r.err })
    end)

    it("write to their tree's timeline, and are seen by mproc top", function()
      local file = os.tmpname()
      local r = program.text([[
        local mproc = require("mproc")
        local up, over = mproc.Queue(), mproc.Event()
        for _, method in ipairs({ "spawn", "forkserver" }) do
          local p = mproc.get_context(method).Process(function() up:put(1) over:wait() end)
          p.name = "by " .. method
          p:start()
          up:get(20)
        end
        os.execute(("%s bin/mproc top --once %d"):format(arg[-1], mproc.getpid()))
        over:set()
      ]], { env = "MPROC_TRACE=" .. file })
      for _, name in ipairs({ "by spawn", "by forkserver", "ForkServer" }) do
        assert.truthy(r.out:find(name, 1, true), r.out .. r.err)
      end
      local trace = cli.read(file)
      os.remove(file)
      for _, name in ipairs({ '"name":"by spawn"', '"name":"by forkserver"', '"name":"spawn"' }) do
        assert.truthy(trace:find(name, 1, true), trace)
      end
    end)

    it("preload modules in the fork server, and say which cannot be", function()
      local r = program.text([[
        local mproc = require("mproc")
        mproc.set_forkserver_preload({ "lfs", "no.such.module" })
        mproc.set_start_method("forkserver")
        print(mproc.Process(function() return package.loaded.lfs ~= nil end):start():result())
      ]])
      assert.equal("true\n", r.out, r.err)
      assert.truthy(r.err:find("the fork server cannot preload module 'no.such.module'", 1, true), r.err)
    end)

    it("start beside threads that hold locks", function()
      local r = program.text([[
        local mproc, hostile = require("mproc"), require("hostile")
        hostile.hold_stdout()
        for _, method in ipairs({ "spawn", "forkserver" }) do
          local p = mproc.get_context(method).Process(function() io.write("up\n") return "done" end):start()
          io.stderr:write(p:result(), "\n")
          p:join()
        end
        hostile.exit(0)
      ]])
      assert.same({ "up\nup\n", "done\ndone\n" }, { r.out, r.err })
    end)
  end)
end)
