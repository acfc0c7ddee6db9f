-- SPDX-License-Identifier: MIT
-- Process: making, starting, waiting, results, states, properties.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("a process", function()
  leaks.watch()

  local function finish(p)
    assert.is_true(p:join(20))
    p:close()
  end

  -- The results of f, run in a child.
  local function in_child(f, ...)
    local p <close> = mproc.Process(f, ...):start()
    return p:result(20)
  end


  describe("gets its arguments", function()
    it("positional, nils included", function()
      assert.same({ n = 4, 1, nil, "x", nil }, table.pack(in_child(function(...) return ... end, 1, nil, "x", nil)))
    end)

    it("from args and then kwargs", function()
      local function echo(...) return ... end
      local p <close> = mproc.Process{ target = echo, args = { 1, 2 }, kwargs = { n = 3 } }:start()
      assert.same({ 1, 2, { n = 3 } }, { p:result(20) })
    end)

    it("with what they share", function()
      local key, shared = "a key that all of them have", { list = {} }
      local function same(a, b, c, n)
        return n == 3 and a[key] == b and b.list == c[1] and c[key] == a and c[2] == key
      end
      local a = { [key] = shared }
      local p <close> = mproc.Process{ target = same, args = { a, shared, { shared.list, key, [key] = a }, 3 } }:start()
      assert.is_true(p:result(20))
    end)

    it("as many as args.n says", function()
      local function count(...) return select("#", ...) end
      local p <close> = mproc.Process{ target = count, args = { nil, 2, nil, n = 3 } }:start()
      assert.equal(3, p:result(20))
    end)

    it("one, when args is no table", function()
      for _, value in ipairs({ "hello", 5, true }) do
        local p <close> = mproc.Process{ target = function(...) return ... end, args = value }:start()
        assert.equal(value, p:result(20))
      end
    end)

    it("as they were when it was made", function()
      local t = { 1 }
      local p <close> = mproc.Process(function(x) return x[1] end, t)
      t[1] = 2
      assert.equal(1, p:start():result(20))
    end)

    it("with an object that only they hold", function()
      local function make()
        local q = mproc.Queue()
        q:put("inside")
        return mproc.Process(function(queue) return queue:get(5) end, q)
      end
      local p <close> = make()
      collectgarbage()
      collectgarbage()
      assert.equal("inside", p:start():result(20))
    end)

    fork_it("and finds its upvalues where they were", function()
      -- files are inherited
      local file <close> = assert(io.tmpfile())
      assert.equal("file", in_child(function() return io.type(file) end))
    end)
  end)

  describe("is refused", function()
    local function refused(pattern, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.truthy(message:find("process_spec.lua:%d+: "), message)
      assert.truthy(message:find(pattern, 1, true), message)
    end

    it("without a target", function()
      refused("did you write target=f(...) instead of target=f?", function() mproc.Process{ args = { 1 } } end)
      refused("did you write target=f(...) instead of target=f?", function() mproc.Process(nil, 1) end)
      refused("did you write target=f(...)", function() mproc.Process{ target = 5 } end)
      refused("without quotes", function() mproc.Process{ target = "f" } end)
    end)

    it("with options it does not know, and names the nearest", function()
      refused("did you mean 'args'?", function() mproc.Process{ target = print, arg = { 1 } } end)
      refused("did you mean 'daemon'?", function() mproc.Process{ target = print, deamon = true } end)
      refused("target, args, kwargs, name, daemon", function() mproc.Process{ target = print, priority = 1 } end)
      refused("target = f", function() mproc.Process{ print } end)
      refused("group must be nil", function() mproc.Process{ target = print, group = {} } end)
    end)

    it("with options of the wrong type", function()
      refused("kwargs must be a table", function() mproc.Process{ target = print, kwargs = 1 } end)
      refused("name must be a string", function() mproc.Process{ target = print, name = 1 } end)
      refused("daemon must be true or false", function() mproc.Process{ target = print, daemon = 1 } end)
      refused("kwargs = {...}", function() mproc.Process{ target = print, args = { x = 1 } } end)
      refused("args.n must be", function() mproc.Process{ target = print, args = { n = -1 } } end)
    end)

    it("with arguments that cannot travel, by their path", function()
      local bad = { 1, { log = io.stdout } }
      refused("cannot send args[2].log: a file belongs to one process", function()
        mproc.Process{ target = print, args = bad }
      end)
      refused("args[1]", function() mproc.Process(print, coroutine.create(print)) end)
    end)
  end)

  describe("start", function()
    it("returns the process", function()
      local p <close> = mproc.Process(function() end)
      assert.equal(p, p:start())
    end)

    it("works once", function()
      local p <close> = mproc.Process(function() end):start()
      assert.has_error(function() p:start() end)
      p:join(20)
      local ok, message = pcall(p.start, p)
      assert.is_false(ok)
      assert.truthy(message:find("make a new one", 1, true), message)
    end)

    it("runs the target elsewhere", function()
      local changed = false
      local pid, ppid = in_child(function()
        changed = true
        return mproc.getpid(), mproc.getppid()
      end)
      assert.is_false(changed)
      assert.equal(mproc.getpid(), ppid)
      assert.not_equal(mproc.getpid(), pid)
    end)

    it("works inside a coroutine, at any depth of the stack", function()
      local function deep(n)
        if n > 0 then
          return (deep(n - 1))
        end
        return in_child(function() return "deep" end)
      end
      assert.equal("deep", coroutine.wrap(function() return deep(150000) end)())
    end)
  end)

  describe("join", function()
    it("waits for the end", function()
      local p <close> = mproc.Process(function() mproc.sleep(0.05) end):start()
      assert.is_true(p:join())
      assert.equal(0, p.exitcode)
      assert.is_true(p:join(0))
    end)

    it("gives up at its timeout", function()
      local q <close> = mproc.Queue()
      local p <close> = mproc.Process(function() q:get() end):start()
      local began = mproc.time()
      assert.same({ false, "timeout" }, { p:join(0.05) })
      assert.truthy(mproc.time() - began < 5)
      assert.same({ false, "timeout" }, { p:join(0) })
      assert.same({ false, "timeout" }, { p:join(-1) })
      q:put(1)
    end)

    it("refuses a timeout that is none", function()
      local p <close> = mproc.Process(function() end):start()
      assert.has_error(function() p:join(true) end)
      assert.has_error(function() p:join("1") end)
    end)

    fork_it("is refused before start, by itself, and by who is not the parent", function()
      -- a handle is inherited as it is
      local p <close> = mproc.Process(function() end)
      assert.truthy(select(2, pcall(p.join, p)):find("before it is started", 1, true))
      assert.truthy(in_child(function()
        local me = mproc.current_process()
        return select(2, pcall(me.join, me))
      end):find("cannot join itself", 1, true))
      p:start()
      assert.truthy(in_child(function()
        return select(2, pcall(p.join, p))
      end):find("is not a child of this process", 1, true))
    end)
  end)

  describe("result", function()
    it("is all that the target returned, each time it is asked for", function()
      local p <close> = mproc.Process(function() return 1, nil, { 2 }, nil end):start()
      assert.same({ n = 4, 1, nil, { 2 }, nil }, table.pack(p:result(20)))
      assert.same({ n = 4, 1, nil, { 2 }, nil }, table.pack(p:result()))
    end)

    it("is nothing when it returned nothing", function()
      assert.equal(0, select("#", in_child(function() end)))
    end)

    it("comes after a join, whatever its size", function()
      local p <close> = mproc.Process(function() return ("x"):rep(20000000) end):start()
      assert.is_true(p:join(20))
      assert.equal(20000000, #p:result(20))
    end)

    it("comes although the child still waits for a child of its own", function()
      local q <close> = mproc.Queue()
      local p <close> = mproc.Process(function()
        mproc.Process(function() q:get() end):start()
        return "early"
      end):start()
      assert.equal("early", p:result(20))
      assert.is_true(p:is_alive())
      q:put(1)
    end)

    it("gives up at its timeout", function()
      local q <close> = mproc.Queue()
      local p <close> = mproc.Process(function() return q:get() end):start()
      assert.same({ nil, "timeout" }, { p:result(0.05) })
      assert.same({ nil, "timeout" }, { p:result(0) })
      q:put("late")
      assert.equal("late", p:result(20))
    end)

    it("that cannot travel is an error of its own", function()
      local p <close> = mproc.Process(function() return { log = io.stdout } end):start()
      local ok, message = pcall(p.result, p, 20)
      assert.is_false(ok)
      assert.truthy(message:find("cannot send result[1].log", 1, true), message)
      assert.equal(0, p.exitcode)
    end)
  end)

  describe("states", function()
    it("are told by tostring", function()
      local q <close> = mproc.Queue()
      local p = mproc.Process{ target = function() q:get() end, name = "w1" }
      assert.equal("mproc.Process: 'w1' (not started)", tostring(p))
      p:start()
      assert.equal(("mproc.Process: 'w1' (pid %d, running)"):format(p.pid), tostring(p))
      q:put(1)
      p:join(20)
      assert.equal(("mproc.Process: 'w1' (pid %d, ended with exit code 0)"):format(p.pid), tostring(p))
      p:close()
      assert.equal("mproc.Process: 'w1' (closed)", tostring(p))
    end)

    it("are seen by is_alive and exitcode", function()
      local q <close> = mproc.Queue()
      local p <close> = mproc.Process(function() return q:get() end)
      assert.is_false(p:is_alive())
      p:start()
      assert.is_true(p:is_alive())
      assert.is_nil(p.exitcode)
      q:put(1)
      p:join(20)
      assert.is_false(p:is_alive())
      assert.equal(0, p.exitcode)
    end)
  end)

  describe("close", function()
    it("is refused while it runs", function()
      local q <close> = mproc.Queue()
      local p = mproc.Process(function() q:get() end):start()
      assert.truthy(select(2, pcall(p.close, p)):find("still runs", 1, true))
      q:put(1)
      finish(p)
    end)

    it("may be repeated; other calls after it raise", function()
      local p = mproc.Process(function() end):start()
      finish(p)
      p:close()
      for _, method in ipairs({ "join", "start", "result", "terminate", "kill", "interrupt", "fileno" }) do
        assert.truthy(select(2, pcall(p[method], p)):find("is closed", 1, true))
      end
      assert.is_string(p.name)
      assert.equal(0, p.exitcode)
    end)

    it("joins at the end of a scope", function()
      local q <close> = mproc.Queue()
      local seen
      do
        local p <close> = mproc.Process(function() mproc.sleep(0.05) q:put(1) end):start()
        seen = p
      end
      assert.equal(1, q:qsize())
      assert.equal(0, seen.exitcode)
    end)

    it("terminates when the scope ends by an error", function()
      local seen
      local ok, message = pcall(function()
        local p <close> = mproc.Process(function() mproc.sleep(100) end):start()
        seen = p
        error("out", 0)
      end)
      assert.same({ false, "out" }, { ok, message })
      assert.equal(-15, seen.exitcode)
    end)

    fork_it("of a scope does nothing in a child that inherited it", function()
      -- a handle is inherited as it is
      local outer <close> = mproc.Process(function() mproc.sleep(0.05) end):start()
      assert.equal("fine", in_child(function()
        local inherited <close> = outer
        return inherited and "fine"
      end))
    end)
  end)

  describe("properties", function()
    it("are named and numbered as in Python", function()
      local p <close> = mproc.Process(print)
      local q <close> = mproc.Process(print)
      local n = tonumber(p.name:match("^Process%-(%d+)$"))
      assert.equal("Process-" .. n + 1, q.name)
      local name = in_child(function()
        local parent = mproc.current_process().name
        return mproc.Process(print).name == parent .. ":1" and mproc.Process(print).name == parent .. ":2"
      end)
      assert.is_true(name)
    end)

    it("can be set where that means something", function()
      local p <close> = mproc.Process(function() return mproc.current_process().name end)
      p.name = "renamed"
      p.daemon = true
      p.mine = 5
      assert.has_error(function() p.pid = 1 end)
      assert.has_error(function() p.exitcode = 1 end)
      assert.has_error(function() p.name = nil end)
      p:start()
      assert.truthy(select(2, pcall(function() p.daemon = false end)):find("before start()", 1, true))
      assert.equal("renamed", p:result(20))
      assert.equal(p.pid, p.ident)
      assert.equal(5, p.mine)
    end)

    it("daemon is the creator's unless it is given", function()
      assert.is_false(mproc.current_process().daemon)
      local p <close> = mproc.Process{ daemon = true, target = function()
        return mproc.current_process().daemon, mproc.Process(print).daemon,
          mproc.Process{ target = print, daemon = false }.daemon
      end }:start()
      assert.same({ true, true, false }, { p:result(20) })
    end)
  end)

  describe("the sentinel", function()
    local function readable(fd)
      local file <close> = io.open(("/proc/self/fdinfo/%d"):format(fd))
      return file ~= nil
    end

    it("is one open fd until close, also after the end", function()
      local p = mproc.Process(function() end):start()
      local fd = p.sentinel
      assert.equal(fd, p.sentinel)
      assert.equal(fd, p:fileno())
      p:join(20)
      assert.is_true(readable(fd))
      p:close()
      assert.is_false(readable(fd))
    end)

    it("asked for after the end is ready", function()
      local p = mproc.Process(function() end):start()
      p:join(20)
      local fd = p.sentinel
      assert.is_true(readable(fd))
      p:close()
    end)
  end)

  describe("as a subclass", function()
    it("needs init and run only", function()
      local Pro = mproc.Process:extend()
      function Pro:init(name, x) self.name, self.x = name, x end
      function Pro:run() return self.name, self.x, self:double() end
      function Pro:double() return 2 * self.x end
      local p <close> = Pro("p1", 21)
      p:start()
      assert.same({ "p1", 21, 42 }, { p:result(20) })
      assert.equal("p1", p.name)
    end)

    it("may be extended again, and call what it overrides", function()
      local A = mproc.Process:extend{ run = function(self) return "A", self.x end }
      local B = A:extend()
      function B:init(x) mproc.Process.init(self, { name = "b" }) self.x = x end
      function B:run() return "B", A.run(self) end
      local p <close> = B(7)
      assert.same({ "B", "A", 7 }, { p:start():result(20) })
      assert.equal("b", p.name)
    end)

    it("without a run of its own needs a target", function()
      local Pro = mproc.Process:extend()
      function Pro:init() self.x = 1 end
      local p <close> = Pro()
      assert.truthy(select(2, pcall(p.start, p)):find("override run()", 1, true))
    end)

    it("takes Process's options when it has no init", function()
      local Pro = mproc.Process:extend()
      local p <close> = Pro{ target = function(x) return x end, args = { 3 } }
      assert.equal(3, p:start():result(20))
    end)
  end)

  it("reads name and pid where its handle was sent to", function()
    local p <close> = mproc.Process{ target = function() end, name = "traveller" }:start()
    local name, pid, message = in_child(function(h) return h.name, h.pid, select(2, pcall(h.join, h)) end, p)
    assert.same({ "traveller", p.pid }, { name, pid })
    assert.truthy(message:find("neither a child nor the parent", 1, true), message)
  end)

  it("can be run in place", function()
    local p <close> = mproc.Process(function(x) return x, mproc.getpid() end, 5)
    assert.same({ 5, mproc.getpid() }, { p:run() })
  end)

  it("is listed among the active children until it ends", function()
    local q <close> = mproc.Queue()
    mproc.Process{ target = function() q:get() end, name = "listed" }:start()
    collectgarbage()
    local list = mproc.active_children()
    assert.equal(1, #list)
    assert.equal("listed", list[1].name)
    assert.same({}, { in_child(function() return table.unpack(mproc.active_children()) end) })
    q:put(1)
    assert.is_true(list[1]:join(20))
    assert.same({}, mproc.active_children())
  end)

  it("knows itself and its parent", function()
    assert.equal("MainProcess", mproc.current_process().name)
    assert.equal(mproc.getpid(), mproc.current_process().pid)
    assert.is_nil(mproc.parent_process())
    local p <close> = mproc.Process{ name = "me", target = function()
      local me, parent = mproc.current_process(), mproc.parent_process()
      return me.name, me.pid == mproc.getpid(), me:is_alive(), parent.name, parent.pid, parent:is_alive(),
        (parent:join(0.01))
    end }:start()
    assert.same({ "me", true, true, "MainProcess", mproc.getpid(), true, false }, { p:result(20) })
  end)

  it("can have children five deep", function()
    local function nest(n)
      return n == 0 and "bottom" or in_child(nest, n - 1)
    end
    assert.equal("bottom", nest(5))
  end)

  it("can be one of hundreds", function()
    local q <close> = mproc.Queue()
    local all = {}
    for i = 1, 300 do
      all[i] = assert(mproc.Process(function() q:get() return i end):start())
    end
    for _ = 1, 300 do
      q:put(true)
    end
    for i = 1, 300 do
      assert.equal(i, all[i]:result(20))
      all[i]:join()
      all[i]:close()
    end
  end)
end)
