-- SPDX-License-Identifier: MIT
-- mproc.wait: one call over queues, processes and descriptors; what it returns, when, and at what cost.

local children = require("spec.support.children")
local hostile = require("hostile")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local readiness = require("spec.support.readiness")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local HERE = "spec/wait/wait_spec.lua"

local SLICE = 0.1
local MANY = 500

describe("wait", function()
  leaks.watch()

  local start, finish, kill = children.start, children.finish, children.kill
  local assert_ready, fd_pair, close_fds = readiness.exactly, readiness.fd_pair, readiness.close_fds

  -- Asserts that wait(...) raises at this file's line and says `text`.
  local function assert_refuses(text, ...)
    local ok, message = pcall(function(...)
      local ready = mproc.wait(...)
      return ready
    end, ...)
    assert.is_false(ok, "no error was raised")
    assert.truthy(message:find(HERE, 1, true), "blames another place: " .. message)
    assert.truthy(message:find(text, 1, true), ("does not say %q: %s"):format(text, message))
  end

  local function assert_lasts(least, f, ...)
    local began = mproc.time()
    f(...)
    local spent = mproc.time() - began
    assert.truthy(spent >= least, "returned early, after " .. spent)
    assert.truthy(spent < least + 1, "returned late, after " .. spent)
  end

  it("gives all that are ready, in the list's order", function()
    local a <close> = mproc.Queue()
    local b <close> = mproc.SimpleQueue()
    local c <close> = mproc.JoinableQueue()
    c:put(1)
    a:put(nil)
    assert_ready({ a, c }, { a, b, c })
    assert_ready({ c, a }, { c, b, a })
    assert_ready({ a, a }, { a, b, a })
    b:put("x")
    assert_ready({ a, b, c }, { a, b, c }, 0)
  end)

  it("gives an empty list and a word when none is in time", function()
    local q <close> = mproc.Queue()
    local fd, other = fd_pair()
    local p = start(function() mproc.sleep(100) end)
    for _, timeout in ipairs({ 0, -1, -math.huge }) do
      assert_lasts(0, assert_ready, {}, { q, fd, p }, timeout)
    end
    for _, timeout in ipairs({ 0.02, SLICE, 2.5 * SLICE }) do
      assert_lasts(timeout, assert_ready, {}, { q, fd, p }, timeout)
    end
    kill(p)
    close_fds(fd, other)
  end)

  it("takes no message: what is ready stays so", function()
    local q <close> = mproc.Queue()
    q:put("kept")
    for _ = 1, 3 do
      assert_ready({ q }, { q })
    end
    assert.equal("kept", q:get(0))
    assert_ready({}, { q }, 0)
  end)

  it("returns as soon as another process puts, not at the next slice", function()
    local there <close> = mproc.Queue()
    local back <close> = mproc.Queue()
    local idle <close> = mproc.Queue()
    local p = start(function()
      for _, v in there:items() do
        proc.wait_asleep(mproc.getppid())
        back:put(v)
      end
    end)
    local late = 0
    for i = 1, 20 do
      there:put(i)
      local began = mproc.time()
      assert_ready({ back }, { idle, back })
      late = late + (mproc.time() - began > 0.8 * SLICE and 1 or 0)
      assert.equal(i, back:get(0))
    end
    assert.truthy(late <= 4, late .. " of 20 waits lasted a slice")
    there:close()
    finish(p)
  end)

  it("sees a closed queue as ready, but not before its last lease has ended", function()
    local q = mproc.Queue()
    q:put(1)
    local _, lease = q:lease(0)
    local p = start(function()
      proc.wait_asleep(mproc.getppid())
      q:close()
    end)
    finish(p)
    assert_ready({}, { q }, 0.02)
    lease:close()
    assert_ready({ q }, { q })
    assert.equal(1, q:get(0))
    assert_ready({ q }, { q })
    assert.same({ nil, "closed" }, { q:get(0) })
  end)

  it("sees a message that a dead process had in hand come back", function()
    local q <close> = mproc.Queue()
    local ready <close> = mproc.Queue()
    q:put("precious")
    local p = start(function()
      local _, lease = q:lease()
      ready:put(true)
      mproc.sleep(100)
      lease:done()
    end)
    assert.is_true(ready:get(20))
    assert_ready({}, { q }, 0)
    p:kill()
    assert_ready({ q }, { q })
    assert.equal("precious", q:get(0))
    kill(p)
  end)

  describe("for processes", function()
    it("sees each end, however it comes, as soon as it comes", function()
      local go <close> = mproc.Queue()
      local returns = start(function() go:get() end)
      local leaves = start(function()
        go:get()
        os.exit(1)
      end)
      local killed = start(function() mproc.sleep(100) end)
      local list = { returns, leaves, killed }
      assert_ready({}, list, 0.01)
      killed:kill()
      assert_ready({ killed }, list)
      assert.equal(-9, killed.exitcode)
      list[3] = nil
      go:put(1)
      go:put(1)
      while #list > 0 do
        for _, p in ipairs(mproc.wait(list, 20)) do
          assert.is_number(p.exitcode)
          table.remove(list, list[1] == p and 1 or 2)
        end
      end
      assert.equal(0, returns.exitcode)
      assert.equal(1, leaves.exitcode)
      assert_ready({ returns, leaves, killed }, { returns, leaves, killed }, 0)
      for _, p in ipairs({ returns, leaves, killed }) do
        p:close()
      end
    end)

    it("leaves a sentinel open that it did not make", function()
      local p = start(function() mproc.sleep(100) end)
      local fd = p.sentinel
      assert_ready({}, { p, fd }, 0.01)
      assert.equal(fd, p.sentinel)
      p:kill()
      assert_ready({ p, fd }, { p, fd })
      kill(p)
    end)

    it("sees the end of the parent and of a sibling too", function()
      local q <close> = mproc.Queue()
      local pids <close> = mproc.Queue()
      local sibling = start(function() mproc.sleep(100) end)
      local p = start(function()
        start(function()
          local parent = mproc.parent_process()
          assert(#mproc.wait({ parent, sibling }, 0.01) == 0)
          pids:put(mproc.getpid())
          assert(mproc.wait({ sibling, parent })[1] == sibling)
          q:put("sibling ended")
          assert(mproc.wait({ parent })[1] == parent)
          q:put("parent ended")
        end)
        mproc.sleep(100)
      end)
      local grandchild = pids:get(20)
      sibling:kill()
      assert.equal("sibling ended", q:get(20))
      p:kill()
      assert.equal("parent ended", q:get(20))
      kill(p)
      kill(sibling)
      proc.until_true(function() return not proc.state(grandchild) or proc.state(grandchild) == "Z" end, "its end")
    end)
  end)

  describe("for connections", function()
    it("sees what arrives, and the end of the stream", function()
      local a, b = mproc.Pipe()
      local q <close> = mproc.Queue()
      local p = start(function()
        a:close()
        for _ = 1, 2 do
          proc.wait_asleep(mproc.getppid())
          b:send(b:recv())
        end
        mproc.wait({ q, b })
        proc.wait_asleep(mproc.getppid())
      end)
      b:close()
      assert_ready({}, { a }, 0)
      for i = 1, 2 do
        a:send(i)
        assert_ready({ a }, { q, a })
        assert.equal(i, a:recv(0))
      end
      q:put("go")
      local began = mproc.time()
      assert_ready({ a }, { a })
      assert.truthy(mproc.time() - began < 10)
      assert.same({ nil, "closed" }, { a:recv(0) })
      finish(p)
      a:close()
      q:get(0)
    end)

    it("refuses an end that is closed, or only sends", function()
      local receives, sends = mproc.Pipe(false)
      assert_refuses("list[2]: nothing ever arrives there", { receives, sends })
      receives:close()
      assert_refuses("list[1]: it is closed", { receives })
      sends:close()
    end)
  end)

  describe("for futures", function()
    it("sees them end, by a result or by their worker's death, and runs their callbacks", function()
      local pool <close> = mproc.Pool(2)
      local go <close> = mproc.Queue()
      local q <close> = mproc.Queue()
      local called
      local slow = pool:submit(function() return go:get() end)
      local deadly = pool:submit(function()
        mproc.sleep(0.05)
        mproc.current_process()
        os.exit(3)
      end)
      slow:add_done_callback(function(f) called = f end)
      assert_ready({}, { q, slow }, 0.01)
      assert_ready({ deadly }, { q, slow, deadly })
      assert.equal("worker_died", deadly:exception().kind)
      go:put("answer")
      assert_ready({ slow }, { q, slow })
      assert.equal("answer", slow:get(0))
      assert.equal(slow, called)
      assert_ready({ slow, deadly }, { slow, q, deadly }, 0)
    end)

    it("sees those of several pools", function()
      local a <close> = mproc.Pool(1)
      local b <close> = mproc.Pool(1)
      local go <close> = mproc.Queue()
      local list = { a:submit(function() return go:get() end), b:submit(function() return "b" end) }
      assert_ready({ list[2] }, list)
      go:put("a")
      assert_ready({ list[1] }, { list[1] })
      assert_ready(list, list)
    end)
  end)

  describe("for descriptors", function()
    fork_it("sees one turn readable", function()
      -- descriptors are inherited
      local q <close> = mproc.Queue()
      local fd, other = fd_pair()
      assert_ready({}, { q, fd }, 0)
      local p = start(function()
        proc.wait_asleep(mproc.getppid())
        hostile.write(other, "x")
      end)
      assert_ready({ fd }, { q, fd })
      finish(p)
      q:put(1)
      assert_ready({ fd, q, fd }, { fd, q, fd * 1.0 })
      close_fds(fd, other)
    end)

    it("sees the end of what it reads", function()
      local fd, other = fd_pair()
      close_fds(other)
      assert_ready({ fd }, { fd })
      close_fds(fd)
    end)

    it("raises for one that is not open, and names its place", function()
      local q <close> = mproc.Queue()
      local fd, other = fd_pair()
      close_fds(fd)
      assert_refuses("list[3]", { q, other, fd })
      q:put(1)
      assert_refuses("list[2]", { q, fd })
      close_fds(other)
    end)
  end)

  fork_it("waits for all kinds at once, and wakes for each", function()
    -- descriptors and futures are inherited
    local q = mproc.Queue()
    local event = mproc.Event()
    local near, far = mproc.Pipe()
    local fd, other = fd_pair()
    local pool <close> = mproc.Pool(1)
    local answer <close> = mproc.Queue()
    local stop <close> = mproc.Queue()
    local go <close> = mproc.Queue()
    local future = pool:submit(function() return answer:get() end)
    local process = start(function() stop:get() end)
    local kinds = {
      { q, function() q:put(1) end, function() q:get(0) end },
      { near, function() far:send(1) end, function() near:recv(0) end },
      { event, function() event:set() end, function() event:clear() end },
      { fd, function() hostile.write(other, "x") end, function() hostile.read(fd) end },
      { process, function() stop:put(1) end, function() end },
      { future, function() answer:put("result") end, function() end },
    }
    local list = {}
    for i, kind in ipairs(kinds) do
      list[i] = kind[1]
    end
    local actor = start(function()
      for _, i in go:items() do
        proc.wait_asleep(mproc.getppid())
        kinds[i][2]()
      end
    end)
    for i, kind in ipairs(kinds) do
      go:put(i)
      assert_ready({ kind[1] }, list)
      kind[3]()
      if kind[1] == process then
        table.remove(list, i) -- it stays ready
      end
    end
    go:close()
    assert.equal("result", future:get(0))
    finish(process)
    finish(actor)
    near:close()
    far:close()
    close_fds(fd, other)
  end)

  describe("for objects that test themselves", function()
    local Inbox = {}
    Inbox.__index = Inbox
    function Inbox.__mproc_wait(inbox)
      return inbox.queue, inbox.arrived
    end
    function Inbox:arrived()
      self.value = self.value or self.queue:get(0)
      return self.value ~= nil and self.value ~= "not yet"
    end

    it("asks them again whenever their source is ready", function()
      local q <close> = mproc.Queue()
      local other <close> = mproc.Queue()
      local inbox = setmetatable({ queue = q }, Inbox)
      assert_ready({}, { other, inbox }, 0.02)
      other:put(1)
      assert_ready({ other }, { other, inbox })
      other:get()
      local p = start(function()
        proc.wait_asleep(mproc.getppid())
        q:put("now")
      end)
      assert_ready({ inbox }, { other, inbox })
      finish(p)
      assert.equal("now", inbox.value)
      other:put(2)
      assert_ready({ inbox, other }, { inbox, other })
    end)

    it("lets many share a source", function()
      local q <close> = mproc.Queue()
      local arrived = {}
      local function test(self)
        local n = q:get(0)
        if n then
          arrived[n] = true
        end
        return arrived[self.n]
      end
      local list = {}
      for n = 1, MANY do
        list[n] = setmetatable({ n = n }, { __mproc_wait = function() return q, test end })
      end
      local p = start(function()
        proc.wait_asleep(mproc.getppid())
        q:put(7)
      end)
      assert_ready({ list[7] }, list)
      finish(p)
    end)
  end)

  describe("given bad input", function()
    it("names the place in the list", function()
      local q <close> = mproc.Queue()
      local unstarted = mproc.Process(print)
      assert_refuses("list[2]: -1 is no file descriptor", { q, -1 })
      assert_refuses("list[2]: 1.5 is no file descriptor", { q, 1.5 })
      assert_refuses("list[2]: 1099511627776 is no file descriptor", { q, 1 << 40 })
      assert_refuses("list[1]", { "x", q })
      assert_refuses("list[2]: it is nil", { q, nil, q, n = 3 })
      assert_refuses("list[2]: it cannot be waited for; wait takes queues", { q, true })
      assert_refuses("list[2]", { q, {} })
      assert_refuses("list[2]: it cannot be waited for; wait takes queues", { q, mproc.Lock() })
      assert_refuses("list[2]: it cannot be waited for; wait takes queues", { q, io.stdout })
      assert_refuses("call start() first", { q, unstarted })
      assert_refuses("list[1]: process 'MainProcess'", { mproc.current_process() })
      unstarted:close()
      assert_refuses("is closed", { q, unstarted })
    end)

    it("says what a list and a timeout are", function()
      local q <close> = mproc.Queue()
      assert_refuses("wait({ q, p })", q)
      assert_refuses("list", nil)
      assert_refuses("list", 3)
      assert_refuses("n must be a count", { q, n = -1 })
      assert_refuses("block", { q }, true)
      assert_refuses("number", { q }, "1")
      assert_refuses("timeout", { q }, 0 / 0)
    end)

    it("raises for an empty list without a timeout, and waits for the timeout of one with", function()
      assert_refuses("for ever", {})
      assert_lasts(0.05, assert_ready, {}, {}, 0.05)
      assert_ready({}, {}, 0)
    end)
  end)
end)
