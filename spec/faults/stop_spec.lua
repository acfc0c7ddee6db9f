-- SPDX-License-Identifier: MIT
-- A stopped process (SIGSTOP) is slow, not dead: what it holds stays its own, others wait no longer than they asked
-- for, and when it goes on all is as it was.

local children = require("spec.support.children")
local holds = require("spec.support.holds")
local hostile = require("hostile")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")

local SIGSTOP, SIGCONT = 19, 18
local TIMEOUT, LATE = 0.3, 1
local GRACE = 0.1 -- what a call may overstay while somebody is stopped inside a critical section

local function is_stopped(pid)
  return function() return proc.state(pid) == "T" end
end

local function stop(p)
  assert(hostile.kill(p.pid, SIGSTOP))
  proc.until_true(is_stopped(p.pid), "a stopped process")
end

local function go_on(p)
  assert(hostile.kill(p.pid, SIGCONT))
end

local finish = children.finish

describe("a process that is stopped", function()
  leaks.watch()

  for name, make in pairs(holds.all) do
    it("keeps " .. name, function()
      local it, ready, over = make(), mproc.Event(), mproc.Event()
      local p = mproc.Process(function()
        it.hold()
        ready:set()
        over:wait()
        it.let_go()
      end):start()
      assert.is_true(ready:wait(20))
      stop(p)
      for _, timeout in ipairs({ 0, TIMEOUT }) do
        local began = mproc.time()
        local got, word = it.try(timeout)
        local spent = mproc.time() - began
        assert.same({ false, "timeout" }, { got, word })
        assert.truthy(spent >= timeout and spent < timeout + LATE, spent)
      end
      if it.owner then assert.equal(p.pid, it.owner()) end
      assert.is_true(p:is_alive())
      over:set()
      go_on(p)
      assert.same({ true }, { it.try(20) }) -- and nobody says that it was abandoned
      it.undo()
      finish(p)
    end)
  end

  it("is waited for no longer than asked, and is not ended by SIGTERM until it goes on", function()
    local p = mproc.Process(function() mproc.sleep(100) end):start()
    proc.wait_asleep(p.pid)
    stop(p)
    assert.same({ false, "timeout" }, { p:join(TIMEOUT) })
    assert.same({ nil, "timeout" }, { p:result(TIMEOUT) })
    assert.same({ {}, "timeout" }, { mproc.wait({ p }, TIMEOUT) })
    p:terminate()
    assert.same({ false, "timeout" }, { p:join(TIMEOUT) })
    go_on(p)
    assert.is_true(p:join(20))
    assert.equal(-15, p.exitcode)
    p:close()
  end)

  it("is killed all the same", function()
    local p = mproc.Process(function() mproc.sleep(100) end):start()
    proc.wait_asleep(p.pid)
    stop(p)
    p:kill()
    assert.is_true(p:join(20))
    assert.equal(-9, p.exitcode)
    p:close()
  end)

  it("is a worker whose task takes longer: neither failed nor run again", function()
    local pool <close> = mproc.Pool(2)
    local runs, go = mproc.Value("integer"), mproc.Event()
    local future = pool:submit(function()
      runs:add(1)
      go:wait()
      return mproc.getpid()
    end)
    proc.until_true(function() return runs.value == 1 end, "a task that runs")
    local pids = pool:workers()
    for _, pid in ipairs(pids) do
      hostile.kill(pid, SIGSTOP)
      proc.until_true(is_stopped(pid), "a stopped worker")
    end
    assert.same({ nil, "timeout" }, { future:get(TIMEOUT) })
    assert.same({ false, "timeout" }, { pool:join(TIMEOUT) })
    go:set()
    for _, pid in ipairs(pids) do hostile.kill(pid, SIGCONT) end
    local ran_in = future:get(20)
    assert.truthy(ran_in == pids[1] or ran_in == pids[2])
    assert.equal(1, runs.value)
  end)

  -- What somebody does all the time who is stopped in the middle of it, and how one who meets it there tries the same.
  local busy = {
    ["a Queue"] = function()
      local q = mproc.Queue()
      return function() q:put(("x"):rep(100)) q:get() end, function(timeout)
        assert(q:put("mine", timeout) ~= nil)
        q:get(timeout)
      end
    end,
    ["large messages of a Queue"] = function()
      local q, text = mproc.Queue(), ("x"):rep(40000)
      return function() q:put(text) q:get() end, function(timeout)
        q:put(text, timeout)
        q:get(timeout)
      end
    end,
    ["a queue in messages"] = function()
      local q, other = mproc.Queue(), mproc.Queue()
      return function() q:put(other) q:get() end, function(timeout)
        q:put(other, timeout)
        q:get(timeout)
      end
    end,
    ["a Lock"] = function()
      local l = mproc.Lock()
      return function() l:acquire() l:release() end, function(timeout)
        if l:acquire(timeout) then l:release() end
      end
    end,
    ["a Semaphore"] = function()
      local s = mproc.BoundedSemaphore(2)
      return function() s:acquire() s:release() end, function(timeout)
        if s:acquire(timeout) then s:release() end
      end
    end,
    ["an RWLock"] = function()
      local l = mproc.RWLock()
      return function() l:read_acquire() l:read_release() l:write_acquire() l:write_release() end, function(timeout)
        if l:read_acquire(timeout) then l:read_release() end
        if l:write_acquire(timeout) then l:write_release() end
      end
    end,
    ["a Pipe"] = function()
      local a, b = mproc.Pipe()
      return function() a:send(1) b:recv() end, function(timeout)
        a:send(2, timeout)
        b:recv(timeout)
      end
    end,
    ["an Event"] = function()
      local e = mproc.Event()
      return function() e:set() e:clear() end, function(timeout) e:wait(timeout) end
    end,
  }

  for name, make in pairs(busy) do
    it("in the middle of using " .. name .. " delays nobody for long", function()
      local use, try = make()
      local p = mproc.Process(function()
        while true do use() end
      end):start()
      for _ = 1, 40 do
        stop(p)
        local began = mproc.time()
        try(0.01)
        local spent = mproc.time() - began
        -- two calls at most, each with its timeout and the grace for every lock it takes
        assert.truthy(spent < 2 * (0.01 + 2 * GRACE) + LATE, spent)
        go_on(p)
        mproc.sleep(math.random() * 0.002) -- so that the next stop hits anywhere
      end
      assert.is_true(p:is_alive())
      p:kill()
      assert.is_true(p:join(20))
      p:close()
    end)
  end
end)
