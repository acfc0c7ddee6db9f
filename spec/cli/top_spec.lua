-- SPDX-License-Identifier: MIT
-- mproc top: what it says of a tree, and that it is no burden to one.
-- MP_LOOKS=n: so many looks at a tree whose processes die all the time; 300.

local cli = require("spec.support.cli")
local core = require("mproc.core")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local mproc = require("mproc")
local program = require("spec.support.program")

local LOOKS = math.tointeger(tonumber(os.getenv("MP_LOOKS") or 300))
local own = core.getpid()

-- Until f() is true.
local function await(f)
  local deadline = mproc.time() + 20
  repeat
    local value = f()
    if value then
      return value
    end
    mproc.sleep(0.005)
  until mproc.time() > deadline
  error("waited in vain", 2)
end

local function page_of(pid)
  local result = cli.run("top", "--once", pid)
  assert.equal("", result.err)
  assert.equal(0, result.code)
  return result.out
end

local function area_fd()
  for name in lfs.dir("/proc/self/fd") do
    if lfs.symlinkattributes("/proc/self/fd/" .. name, "target") == "/memfd:mproc (deleted)" then
      return math.tointeger(name)
    end
  end
end

-- A look at this process's own tree, by the functions that top is made of.
local function look_here(before)
  local view <close> = core.view(own, area_fd())
  return require("mproc.cli.top.look").take(view, before)
end

local function both_wait()
  local a, b = mproc.Lock(), mproc.Lock()
  local here = mproc.Barrier(2)
  local function hold(first, second)
    first:acquire()
    here:wait()
    second:acquire()
  end
  local left = mproc.Process{ target = hold, args = { a, b }, name = "left" }:start()
  local right = mproc.Process{ target = hold, args = { b, a }, name = "right" }:start()
  await(function()
    local n = 0
    for _, process in ipairs(look_here().processes) do
      n = n + (process.waits and process.waits.part == "lock" and 1 or 0)
    end
    return n == 2
  end)
  return left, right, tostring(a):match("%d+"), tostring(b):match("%d+")
end

local function finish(...)
  for _, process in ipairs({ ... }) do
    process:kill()
    process:join()
    process:close()
  end
end

describe("mproc top", function()
  leaks.watch()

  it("says in words who waits for whom", function()
    local left, right, a, b = both_wait()
    local text = page_of(left.pid)
    finish(left, right)
    assert.matches("WAITING FOR EACH OTHER", text, 1, true)
    assert.matches(("%d left waits for lock %s, held by %d\n"):format(left.ident, b, right.ident), text, 1, true)
    assert.matches(("%d right waits for lock %s, held by %d\n"):format(right.ident, a, left.ident), text, 1, true)
  end)

  it("says so of a writer, its reader, and of a parent that joins its child", function()
    local rw, ready = mproc.RWLock(), mproc.Event()
    local outer = mproc.Process{ name = "outer", target = function()
      rw:read_acquire()
      local inner = mproc.Process{ name = "inner", target = function()
        ready:set()
        rw:write_acquire()
      end }:start()
      inner:join()
    end }:start()
    assert(ready:wait(20))
    local one = await(function()
      local before = look_here()
      mproc.sleep(0.01)
      local now = look_here(before)
      return #now.deadlocks > 0 and now
    end)
    local lines = require("mproc.cli.top.words").of_circle(one, one.deadlocks[1], {})
    table.sort(lines)
    outer:kill{ tree = true }
    outer:join()
    outer:close()
    local text = table.concat(lines, "\n")
    assert.equal(2, #lines)
    assert.matches("outer waits for the end of %d+ inner", text)
    assert.matches("inner waits for the readers of RWLock %d+: %d+", text)
  end)

  it("is no deadlock that somebody waits for one who works", function()
    local lock, ready = mproc.Lock(), mproc.Event()
    local p = mproc.Process{ target = function()
      lock:acquire()
      ready:set()
      mproc.sleep(60)
    end }:start()
    assert(ready:wait(20))
    local q = mproc.Process{ target = function() lock:acquire() end }:start()
    local text = await(function()
      local page = page_of(own)
      return page:find(("held by %d"):format(p.pid), 1, true) and page
    end)
    finish(p, q)
    assert.not_matches("EACH OTHER", text)
    assert.matches("sleeps", text)
  end)

  it("shows pools, their tasks, and queues with their sizes", function()
    local pool <close> = mproc.Pool(2)
    local q <close> = mproc.Queue(5)
    q:put_many({ 1, 2, 3 })
    pool:map(function(x) return x end, { 1, 2, 3, 4, 5, 6, 7 })
    assert.error(function() pool:apply(function() error("no") end) end)
    local number = tostring(q):match("%d+")
    local text = page_of(own)
    assert.matches("PoolWorker%-1 +waits +[%d.]+m?s +%d+%% +tasks of pool %d", text)
    local done, failed = text:match("\n *%d+ +" .. own .. " +2 +%d+%% +0 +(%d+) +(%d+) +%d+\n")
    assert.equal("8 1", done .. " " .. failed)
    assert.matches(("\n *%s +3/5 +0 +0 +%%d %%(0 asleep%%)"):format(number), text)
  end)

  it("gives the same as data", function()
    local left, right, a = both_wait()
    local result = cli.run("top", "--json", own)
    finish(left, right)
    assert.equal(0, result.code)
    assert.matches("^%[{.*}%]\n$", result.out)
    assert.matches(('"holder":%d,"kind":"lock","object":%s,"waiters":[%d]'):format(left.ident, a, right.ident),
      result.out, 1, true)
    assert.matches(('"deadlocks":[["%d left waits for'):format(left.ident), result.out, 1, true)
    if os.execute("command -v python3 >/dev/null") then
      local file = cli.write(os.tmpname(), result.out)
      assert.is_true(os.execute("python3 -c 'import json,sys; json.load(open(sys.argv[1]))' " .. file))
      os.remove(file)
    end
  end)

  it("takes the process to look at, and says what is wrong with it", function()
    local function of(...)
      local result = cli.run("top", ...)
      assert.equal("", result.out)
      return result.code, result.err
    end
    local code, err = of("x")
    assert.equal(2, code)
    assert.matches("PID must be the number of one process, got 'x'", err, 1, true)
    code, err = of("--onze")
    assert.equal(2, code)
    assert.matches("did you mean --once?", err, 1, true)
    code, err = of("--sort", "size")
    assert.equal(2, code)
    assert.matches("pid, cpu, time or done", err, 1, true)
    code, err = of("--once", 1)
    assert.equal(1, code)
    assert.matches("process 1 does not use mproc", err, 1, true)
  end)

  it("shows nothing that a name could do to a terminal", function()
    local p = mproc.Process{ name = "\27[2Jx", target = function() mproc.sleep(60) end }:start()
    local text = page_of(own)
    finish(p)
    assert.is_nil(text:find("\27", 1, true))
    assert.matches("?[2Jx", text, 1, true)
  end)

  it("maps the tree's memory for reading only, and delays nobody when it is stopped or killed", function()
    local q <close> = mproc.Queue()
    local pid = tonumber((cli.shell(("%s top -d 0.001 %d >/dev/null 2>&1 & echo $!"):format(cli.program, own)).out))
    local function maps()
      local file = io.open(("/proc/%d/maps"):format(pid))
      local text = file and file:read("a") or ""
      return file and file:close() and text
    end
    local inode = lfs.attributes("/proc/self/fd/" .. area_fd(), "ino")
    local mode = await(function() return maps():match("%x+%-%x+ (%S+) %x+ %S+ " .. inode .. " ") end)
    assert.equal("r--s", mode)
    local function works()
      local began = mproc.time()
      for i = 1, 2000 do
        q:put(i)
        assert.equal(i, q:get(0))
      end
      return mproc.time() - began < 10
    end
    assert.is_true(works())
    os.execute("kill -STOP " .. pid)
    assert.is_true(works())
    os.execute("kill -KILL " .. pid)
    assert.is_true(works())
  end)

  it("never fails on a tree whose processes die all the time", function()
    local source = [[
      local mproc = require("mproc")
      local lock, q, rw = mproc.Lock(), mproc.Queue(), mproc.RWLock()
      local function live(i)
        for k = 1, 1000 do
          local mine = mproc.Queue()
          lock:acquire() q:put(i) q:get(0) lock:release()
          rw:read_acquire() rw:read_release()
          if k == 1 + i % 17 then mine:put(k) os.exit(0) end
        end
      end
      local deadline, i = mproc.time() + tonumber(arg[1]), 0
      while mproc.time() < deadline do
        i = i + 1
        local list = {}
        for k = 1, 4 do list[k] = mproc.Process{ target = live, args = { i + k }, daemon = true }:start() end
        mproc.sleep(0.001)
        for _, p in ipairs(list) do p:kill() p:join() p:close() end
      end
    ]]
    local path = os.tmpname()
    cli.write(path, source)
    local seconds = 8 + LOOKS // 100
    local pid = tonumber((program.shell(("%s %s %d >/dev/null 2>&1 & echo $!"):format(program.lua, path, seconds)).out))
    local view = await(function()
      local found = core.trees(pid)[1]
      return found and core.view(found.pid, found.fd)
    end)
    local look, page = require("mproc.cli.top.look"), require("mproc.cli.top.page")
    local one, most, i, deadline = nil, 0, 0, mproc.time() + seconds - 2
    repeat -- more looks than that only where the tree has been slow to come up
      one, i = look.take(view, one), i + 1
      most = math.max(most, one and #one.processes or 0)
      if one and i % 10 == 0 then
        page.lines(one, "cpu")
      end
    until i >= LOOKS and (most > 1 or mproc.time() > deadline)
    view:close()
    os.execute("kill -KILL " .. pid)
    os.remove(path)
    assert.is_true(most > 1)
  end)
end)
