-- SPDX-License-Identifier: MIT
-- q:fileno() in the event loops of others: lua-luv and cqueues, in one process and in several.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local optional = require("spec.support.optional")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local cqueues, uv = optional("cqueues", "lua-cqueues"), optional("luv", "lua-luv")
if not cqueues or not uv then return end

local fork_it = start_method.forks and it or pending

local SLICE = 0.1

describe("fileno", function()
  local mproc, proc
  setup(function()
    mproc = require("mproc")
    proc = require("spec.support.proc")
    uv.new_timer():close()
    uv.run() -- luv opens descriptors of its own at first use
  end)
  leaks.watch()

  local start, finish = children.start, children.finish

  -- Asked of the kernel, by a poll that mproc does not see.
  local function readable(fd)
    local hit = false
    local poll = assert(uv.new_poll(fd))
    poll:start("r", function() hit = true end)
    uv.run("nowait")
    poll:stop()
    poll:close()
    uv.run("nowait")
    return hit
  end

  -- Runs luv's loop: on_readable() is called when fd is, and ends the loop by returning true. Fails after a while.
  local function luv_loop(fd, on_readable)
    local poll, timer = assert(uv.new_poll(fd)), uv.new_timer()
    local late = false
    local failed, why
    local function stop()
      poll:stop()
      poll:close()
      timer:close()
    end
    timer:start(20000, 0, function()
      late = true
      stop()
    end)
    poll:start("r", function()
      local ok, over = pcall(on_readable)
      if not ok then
        failed, why = true, over
      end
      if not ok or over then
        stop()
      end
    end)
    uv.run()
    assert(not failed, why)
    assert(not late, "the loop was not woken")
  end

  -- The same in a cqueues loop, which a forked child may use as well: it is made anew.
  local function cqueues_loop(fd, on_readable)
    local loop <close> = setmetatable({ cq = cqueues.new() }, { __close = function(self) self.cq:close() end })
    loop.cq:wrap(function()
      local deadline = mproc.time() + 20
      repeat
        cqueues.poll({ pollfd = fd, events = "r" }, 20)
        assert(mproc.time() < deadline, "the loop was not woken")
      until on_readable()
      cqueues.cancel(fd)
    end)
    assert(loop.cq:loop())
  end

  local loops = { luv = luv_loop, cqueues = cqueues_loop }

  it("is one descriptor as long as the queue is there", function()
    local q <close> = mproc.Queue()
    local fd = q:fileno()
    assert.equal("integer", math.type(fd))
    assert.equal(fd, q:fileno())
    q:put(1)
    q:get()
    assert.equal(fd, q:fileno())
    local carrier <close> = mproc.Queue()
    carrier:put(q)
    assert.equal(fd, carrier:get():fileno())
    assert.not_equal(fd, carrier:fileno())
  end)

  it("is there for every kind of queue, and for processes as the sentinel", function()
    local simple <close> = mproc.SimpleQueue()
    local joinable <close> = mproc.JoinableQueue()
    for _, q in ipairs({ simple, joinable }) do
      assert.is_false(readable(q:fileno()))
      q:put(1)
      assert.is_true(readable(q:fileno()))
    end
    local p = start(function() end)
    assert.equal(p.sentinel, p:fileno())
    luv_loop(p:fileno(), function() return true end)
    finish(p)
  end)

  fork_it("is closed with the last use of the queue, and is no part of a child", function()
    -- what it counts its parent has, or a fresh process has not
    local function count(what)
      local n = 0
      for name in lfs.dir("/proc/self/fd") do
        n = n + ((lfs.symlinkattributes("/proc/self/fd/" .. name, "target") or ""):find(what, 1, true) and 1 or 0)
      end
      return n
    end
    local before = leaks.open_files()
    local timers, sets = count("timerfd"), count("eventpoll")
    local q = mproc.Queue()
    local said <close> = mproc.Queue()
    for _ = 1, 3 do
      q:fileno()
    end
    assert.equal(sets + 1, count("eventpoll"))
    local p = start(function()
      said:put({ count("timerfd"), count("eventpoll") })
      local fd = q:fileno()
      said:put({ readable = mproc.wait({ fd }, 0)[1], count("eventpoll") })
    end)
    assert.same({ timers, sets }, said:get(20))
    assert.same({ sets + 1 }, said:get(20))
    finish(p)
    q = nil
    collectgarbage()
    collectgarbage()
    assert.is_nil(q)
    assert.equal(before, leaks.open_files())
  end)

  describe("is readable", function()
    it("while get would not wait, and not once it has been seen empty", function()
      local q = mproc.Queue()
      local fd = q:fileno()
      assert.is_false(readable(fd))
      q:put_many({ 1, 2, 3 })
      for i = 1, 3 do
        assert.is_true(readable(fd))
        assert.is_true(readable(fd))
        assert.equal(i, q:get(0))
      end
      assert.is_false(readable(fd))
      q:put(1)
      assert.same({ 1, n = 1 }, q:get_many(5))
      assert.is_false(readable(fd))
      q:put(1)
      local _, lease = q:lease(0)
      assert.is_false(readable(fd))
      lease:close()
      assert.is_true(readable(fd))
      q:get(0)
      q:close()
      assert.is_true(readable(fd))
      assert.same({ nil, "closed" }, { q:get(0) })
      assert.is_true(readable(fd))
    end)

    it("at once when the message was there before", function()
      local q <close> = mproc.Queue()
      q:put(1)
      assert.is_true(readable(q:fileno()))
    end)

    it("no more when qsize or empty has said so", function()
      for _, ask in ipairs({ "qsize", "empty" }) do
        local q <close> = mproc.Queue()
        local fd = q:fileno()
        q:put(1)
        finish(start(function() q:get() end))
        assert.is_true(readable(fd)) -- nobody has looked here
        q[ask](q)
        assert.is_false(readable(fd))
        q:put(2)
        q[ask](q)
        assert.is_true(readable(fd))
      end
    end)

    it("no more when wait has seen that another process took all", function()
      local q <close> = mproc.Queue()
      local fd = q:fileno()
      q:put(1)
      finish(start(function() q:get() end))
      assert.is_true(readable(fd)) -- nobody has looked here
      assert.equal(0, #mproc.wait({ q }, 0))
      assert.is_false(readable(fd))
    end)
  end)

  for name, loop in pairs(loops) do
    describe("in a loop of " .. name, function()
      it("wakes it for each message of another process", function()
        local COUNT = 200
        local q, go <close> = mproc.Queue(), mproc.Queue()
        local p = start(function()
          for i in go:items() do
            q:put(i)
          end
        end)
        local fd = q:fileno()
        local expected = 1
        go:put(true)
        loop(fd, function()
          local v = q:get(0)
          if v then
            assert(v == expected)
            expected = expected + 1
            go:put(true)
          end
          return expected > COUNT
        end)
        go:close()
        finish(p)
      end)

      it("wakes it at once, not a slice later", function()
        local q <close> = mproc.Queue()
        local p = start(function()
          for _ = 1, 20 do
            proc.until_true(function() return q:empty() end, "the last one is taken")
            proc.wait_asleep(mproc.getppid())
            q:put(mproc.time())
          end
        end)
        local count, late = 0, 0
        loop(q:fileno(), function()
          local since = q:get(0)
          if since then
            count = count + 1
            late = late + (mproc.time() - since > 0.8 * SLICE and 1 or 0)
          end
          return count == 20
        end)
        assert.truthy(late <= 4, late .. " of 20 messages came a slice late")
        finish(p)
      end)

      it("wakes it when the queue is closed", function()
        local q = mproc.Queue()
        local p = start(function()
          proc.wait_asleep(mproc.getppid())
          q:close()
        end)
        loop(q:fileno(), function() return select(2, q:get(0)) == "closed" end)
        finish(p)
      end)
    end)
  end

  it("of a connection wakes a loop for messages and for the end", function()
    for _, loop in pairs(loops) do
      local a, b = mproc.Pipe()
      local fd = a:fileno()
      assert.is_false(readable(fd))
      local p = start(function()
        a:close()
        for i = 1, 5 do
          b:send(i)
          b:recv()
        end
      end)
      b:close()
      local received = {}
      loop(fd, function()
        if not a:poll() then
          assert(not a:poll())
          return false
        end
        local v, word = a:recv(0)
        if v then
          received[#received + 1] = v
          a:send("next")
        end
        return word == "closed"
      end)
      assert.same({ 1, 2, 3, 4, 5 }, received)
      finish(p)
      a:close()
      assert.is_false(pcall(a.fileno, a))
    end
  end)

  it("of a connection is not readable once poll has found nothing", function()
    local a, b = mproc.Pipe()
    local fd = a:fileno()
    b:send(1)
    assert.is_true(a:poll())
    assert.is_true(readable(fd))
    finish(start(function() a:recv() end))
    assert.is_true(readable(fd)) -- nobody has looked here
    assert.is_false((a:poll()))
    assert.is_false(readable(fd))
    a:close()
    b:close()
  end)

  it("of a pool wakes a loop that moves it along", function()
    local pool <close> = mproc.Pool(2)
    local results = {}
    for i = 1, 10 do
      pool:submit(function() return i * i end):add_done_callback(function(f) results[#results + 1] = f:get() end)
    end
    local deadly = pool:submit(function() os.exit(3) end)
    luv_loop(pool:fileno(), function()
      while pool:step() do end
      return #results == 10 and deadly:done()
    end)
    table.sort(results)
    assert.same({ 1, 4, 9, 16, 25, 36, 49, 64, 81, 100 }, results)
    assert.equal("worker_died", deadly:exception().kind)
  end)

  it("serves loops in several processes that watch one queue", function()
    local COUNT = 400
    local q, taken <close> = mproc.Queue(), mproc.Queue()
    local processes = {}
    for n = 1, 3 do
      processes[n] = start(function()
        cqueues_loop(q:fileno(), function()
          local v, word = q:get(0)
          if v then
            taken:put(v)
          end
          return word == "closed"
        end)
      end)
    end
    local seen, count = {}, 0
    for i = 1, COUNT do
      q:put(i)
    end
    luv_loop(taken:fileno(), function()
      local v = taken:get(0)
      if v then
        assert(not seen[v])
        seen[v] = true
        count = count + 1
      end
      return count == COUNT
    end)
    q:close()
    children.finish_all(processes)
    assert.is_true(taken:empty())
  end)

  it("serves parent and child alike, each by a descriptor of its own", function()
    local mine <close> = mproc.Queue()
    local its <close> = mproc.Queue()
    local fd = mine:fileno()
    its:fileno()
    local p = start(function()
      local count = 0
      cqueues_loop(its:fileno(), function()
        local v = its:get(0)
        if v then
          mine:put(v)
          count = count + 1
        end
        return count == 50
      end)
    end)
    local count = 0
    its:put(1)
    luv_loop(fd, function()
      local v = mine:get(0)
      if v then
        count = count + 1
        its:put(v)
      end
      return count == 50
    end)
    finish(p)
    its:get(0)
  end)

  it("harms nobody when its loop is killed", function()
    local q <close> = mproc.Queue()
    local ready <close> = mproc.Queue()
    local doomed = start(function()
      q:fileno()
      cqueues_loop(q:fileno(), function()
        ready:put(q:get(0) == nil)
      end)
    end)
    assert.is_boolean(ready:get(20))
    doomed:kill()
    assert.is_true(doomed:join(20))
    doomed:close()
    while not ready:empty() do
      ready:get(0)
    end
    local fd = q:fileno()
    local p = start(function() q:put("alive") end)
    local got
    luv_loop(fd, function()
      got = q:get(0)
      return got
    end)
    assert.equal("alive", got)
    finish(p)
  end)

  -- Runs luv's loop for a second over that many queues: how often it was woken, and its CPU time.
  local function idle_second(count)
    local woken, queues, polls = 0, {}, {}
    for i = 1, count do
      queues[i] = mproc.Queue()
      polls[i] = assert(uv.new_poll(queues[i]:fileno()))
      polls[i]:start("r", function()
        woken = woken + 1
        assert.is_nil((queues[i]:get(0)))
      end)
    end
    local timer = uv.new_timer()
    timer:start(1000, 0, function()
      for _, poll in ipairs(polls) do
        poll:stop()
        poll:close()
      end
      timer:close()
    end)
    local before = os.clock()
    uv.run()
    return woken, os.clock() - before
  end

  it("costs an idle loop next to nothing", function()
    local woken, used = idle_second(1)
    for _ = 1, 3 do -- a busy machine makes it more, never less
      if used < 0.005 then break end
      woken, used = idle_second(1)
    end
    assert.truthy(woken >= 5, "nobody looks for lost wakes: woken " .. woken .. " times")
    assert.truthy(woken <= 12, "woken " .. woken .. " times")
    assert.truthy(used < 0.005, used .. " s of CPU in a second")
  end)

  it("does so however many queues there are: one of them is woken for all", function()
    local MANY = 100
    local woken, used = idle_second(MANY)
    assert.truthy(woken >= 5, "nobody looks for lost wakes: woken " .. woken .. " times")
    assert.truthy(woken < 5 * MANY, "woken " .. woken .. " times") -- all at once, should the loop be late
    assert.truthy(used < 0.02, used .. " s of CPU in a second")
  end)

  -- Without a descriptor to spare, who puts cannot open the loop's pipe: as if it were killed after its put.
  local LOST_WAKES = [[
    local mproc, uv = require("mproc"), require("luv")
    local decoy, q = mproc.Queue(), mproc.Queue()
    if %s then decoy:fileno() end -- nobody polls it
    local fd = q:fileno()
    local p = mproc.Process(function()
      local held, file = {}
      repeat
        file = io.open("/dev/null")
        held[#held + 1] = file
      until not file
      for _ = 1, 3 do
        while not q:empty() do mproc.sleep(0.001) end
        q:put(mproc.time())
      end
    end):start()
    local poll, count, latest = uv.new_poll(fd), 0, 0
    poll:start("r", function()
      local since = q:get(0)
      if since then count, latest = count + 1, math.max(latest, mproc.time() - since) end
      if count == 3 then poll:stop() poll:close() end
    end)
    uv.run()
    p:join()
    print(latest)
  ]]

  for title, decoy in pairs({
    ["finds a message two slices late at most when whoever put it could not wake the loop"] = "false",
    ["finds it, too, when another descriptor, which no loop serves, was made before"] = "true",
  }) do
    it(title, function()
      local r = program.shell(("ulimit -n 40; exec ${LUA:-lua5.4} -e '%s'"):format(LOST_WAKES:format(decoy)), 20)
      local latest = tonumber(r.out)
      assert.truthy(latest, r.err)
      assert.truthy(latest > 0.2 * SLICE, "no wake was lost: " .. latest .. " s")
      assert.truthy(latest < 2 * SLICE + 0.5, "it took " .. latest .. " s")
    end)
  end

  it("gives nil, a message and a name when there is no descriptor for it", function()
    local r = program.shell([[ulimit -n 24; exec ${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      local queues, n, fd, message, name = {}, 0
      repeat
        n = n + 1
        queues[n] = mproc.Queue()
        fd, message, name = queues[n]:fileno()
      until not fd
      print(n > 1, name, message:match("^cannot make a descriptor"))
      for i = 1, n - 1 do
        queues[i]:put(i)
        assert(mproc.wait({ queues[i]:fileno() }, 0)[1])
      end
      queues = nil
      collectgarbage()
      local f = assert(io.open("/dev/null"))
      assert(mproc.Queue():fileno())
    ']], 20)
    assert.equal("true\tEMFILE\tcannot make a descriptor\n", r.out, r.err)
  end)

  it("refuses what is no queue, and blames the caller", function()
    local q <close> = mproc.Queue()
    for _, bad in ipairs({ {}, 1, "q", io.stdout }) do
      local ok, message = pcall(function()
        local fd = q.fileno(bad)
        return fd
      end)
      assert.is_false(ok)
      assert.truthy(message:find("spec/wait/fileno_spec.lua", 1, true), message)
      assert.truthy(message:find("colon", 1, true), message)
    end
  end)
end)
