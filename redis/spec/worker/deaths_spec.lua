-- SPDX-License-Identifier: MIT
-- Worker programs that die, freeze, or are told to leave; servers that die. Each item has one result, and nothing is
-- left.
local mproc = require "mproc"
local owner = require "redis.spec.support.owner"
local program = require "redis.spec.support.program"
local server = require "redis.spec.support.server"

if not server.there() then
  pending("deaths: skipped, there is no redis-server here")
  return
end

local LEASE = 1
local WORDS = ("-j 1 --allow 'far_tasks.*' --lease %g --prefetch 4 "):format(LEASE)
local TAKEN_OVER = 1.5 * LEASE -- a lease and two beats

local s, o, running, path

local function start(words, address)
  local w = program.start(address or s.url, WORDS .. (words or ""))
  running[#running + 1] = w
  return w
end

-- Waits until the file has so many lines.
local function await_marks(n)
  local deadline = mproc.time() + 10
  repeat
    local count = #server.output_of(("cat %s | tr -dc '\\n'; echo x"):format(path)) - 1
    mproc.sleep(0.01)
    assert(mproc.time() < deadline, "the tasks do not begin")
  until count >= n
end

-- Once the owner and all workers have gone nothing is there.
local function assert_nothing_left()
  o:vanish()
  for _, w in ipairs(running) do
    w:stop()
  end
  running = {}
  assert.same({}, s:keys())
end

before_each(function()
  running, path = {}, os.tmpname()
end)
after_each(function()
  for _, w in ipairs(running) do
    w:stop()
  end
  s:stop()
  os.remove(path)
end)

describe("with a server that lives", function()
  before_each(function()
    s = server.start()
    o = owner.new(s)
  end)

  it("a killed worker's tasks go on within a lease and two beats, in single items", function()
    local tries, took = 0
    repeat -- for the machine may be busy
      local a, before = start(), 4 * tries + tries
      local k = o:map("mark", { path, path, path })
      o:call("mark", path, 20)
      await_marks(before + 4)
      local other = start()
      mproc.sleep(LEASE) -- it has been here for a lease, and may reap
      a:signal("KILL")
      local began = mproc.time()
      o.items = o.items - 1 -- the long one is not waited for
      o:values(k)
      await_marks(before + 5)
      took, tries = mproc.time() - began, tries + 1
      for _, pid in ipairs(a:children()) do
        assert.is_nil(io.open(("/proc/%d/stat"):format(pid)))
      end
      assert.is_true(other:runs())
      other:signal("KILL")
      o = owner.new(s)
      s:call("DEL", o.keys.tasks, o.keys.workers, o.keys.info)
    until took < TAKEN_OVER or tries == 5
    assert.is_true(took < TAKEN_OVER, took)
  end)

  it("a frozen worker's tasks are taken over, and its own commits come too late", function()
    local a = start()
    local k = o:call("mark", path, 0.3)
    for _ = 1, 3 do
      o:call("mark", path, 0.01)
    end
    await_marks(1)
    a:signal("STOP")
    start()
    o:await(LEASE + 8)
    a:signal("CONT")
    mproc.sleep(LEASE)
    o:look()
    assert.equal(o.items, o.got)
    assert.equal(1, o.times[k])
    assert.same({ 6 }, o:values(o:map("double", { 3 })))
    assert_nothing_left()
  end)

  -- The server serves its blocked read when nobody knows it any more.
  it("a frozen worker that was taken off the list, and is then given a task, does not keep it", function()
    local a = start()
    a:signal("STOP")
    local b = start()
    local deadline = mproc.time() + 10
    while table.concat(s:call("ZRANGE", o.keys.workers, 0, -1)):find(":" .. a.pid .. ":", 1, true) do
      assert(mproc.time() < deadline, "the frozen worker is not taken off")
      mproc.sleep(0.02)
    end
    b:signal("STOP") -- so that the read that waits is the frozen one's, if there is one
    for i = 1, 8 do
      o:map("double", { i })
    end
    mproc.sleep(0.1)
    a:signal("KILL")
    b:signal("CONT")
    o:await(4 * LEASE + 4)
    assert_nothing_left()
  end)

  it("an idle worker that was taken off the list, thaws, and is killed then leaves nothing", function()
    local a = start()
    start()
    a:signal("STOP")
    mproc.sleep(2 * LEASE + 0.5)
    a:signal("CONT")
    mproc.sleep(LEASE / 2)
    a:signal("KILL")
    mproc.sleep(2 * LEASE)
    assert_nothing_left()
  end)

  it("SIGTERM: what runs ends, the rest goes to others at once, and the exit status is 0", function()
    local a = start()
    local slow = o:call("mark", path, 0.5)
    await_marks(1)
    for i = 1, 3 do
      o:map("double", { i })
    end
    mproc.sleep(0.1)
    local b = start()
    a:signal("TERM")
    o:await(10)
    assert.same({ path }, o:values(slow))
    assert.is_true(a:ended(5))
    assert.truthy(a:text():find("leaves; 1 of its chunks still run", 1, true))
    assert.is_true(b:runs())
    assert_nothing_left()
  end)

  it("SIGTERM: what runs for longer than --grace is claimed by others", function()
    local a = start("--grace 0.3")
    o:call("mark", path, 3)
    await_marks(1)
    a:signal("TERM")
    assert.is_true(a:ended(4))
    start()
    await_marks(2)
  end)

  it("SIGINT twice ends it at once", function()
    local a = start()
    o:call("mark", path, 30)
    await_marks(1)
    a:signal("INT")
    a:await("leaves")
    assert.is_true(a:runs())
    a:signal("INT")
    assert.is_true(a:ended(4))
  end)

  it("a task that kills worker after worker is an error after three, and its neighbours are not harmed", function()
    local list = {} -- more than are parted at once
    for i = 1, 2001 do
      list[i] = i
    end
    local k = o:map("kill_supervisor", list)
    for _ = 1, 3 do
      local w = start()
      assert.is_true(w:ended(20))
    end
    start()
    o:await(10)
    local all = o.found[k]
    local err = all[3][1]
    for i = 1, #list do
      assert.equal(i == 3 and err or i, all[i][1])
    end
    assert.same({ "worker_died", 3, 3 }, { err.kind, err.deaths, #err.hosts })
    local text = "3 worker programs died while they had far_tasks.kill_supervisor in hand"
    assert.truthy(tostring(err):find(text, 1, true))
    assert_nothing_left()
  end)

  -- Read in its name, as on a connection whose end it has not noticed.
  it("what the server gave, and no answer told of, is run all the same", function()
    start()
    for _ = 1, 4 do -- as many as it may have in hand, so that it asks for no more
      o:call("mark", path, 0.8)
    end
    await_marks(1)
    local name = s:call("XINFO", "CONSUMERS", o.keys.tasks, "w")[1][2]
    local k = o:map("double", { 21 })
    local got = s:call("XREADGROUP", "GROUP", "w", name, "COUNT", 9, "STREAMS", o.keys.tasks, ">")
    assert.equal(1, #got[1][2])
    assert.same({ 42 }, o:values(k, 20))
    assert_nothing_left()
  end)

  it("what the server gave on a connection that was lost is run all the same", function()
    start()
    for i = 1, 40 do
      for j = 1, 5 do
        o:map("double", { i * j })
      end
      s:call("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
      mproc.sleep(0.01)
      if i % 10 == 0 then
        o:await(20)
      end
    end
    o:await(20)
    assert_nothing_left()
  end)
end)

describe("a server that is killed", function()
  local function kill_and_restart()
    s:kill()
    mproc.sleep(0.2)
    s:restart()
  end

  it("with AOF has forgotten nothing", function()
    s = server.start { "--appendonly", "yes", "--appendfsync", "everysec" }
    o = owner.new(s)
    start()
    start()
    for round = 1, 2 do
      for i = 1, 30 do
        o:call("mark", path, i % 10 == 0 and 0.05 or 0)
      end
      kill_and_restart()
      o:await(15)
      assert.equal(round * 30, o.got)
    end
    assert_nothing_left()
  end)

  it("without any is served again, once the owner has sent again what is lost", function()
    s = server.start()
    o = owner.new(s)
    local w = start()
    o:values(o:map("double", { 1 }))
    o:call("mark", path, 0.6)
    await_marks(1)
    kill_and_restart()
    o.items = o.items - 1 -- the late commit is refused: nobody knows of it
    s:call("XADD", o.result, "*", "hello", 1)
    o.last = "0"
    assert.same({ 4 }, o:values(o:map("double", { 2 }), 10))
    assert.is_true(w:runs())
    assert_nothing_left()
  end)
end)
