-- SPDX-License-Identifier: MIT
-- Pids that name another process by now, very many processes at once, and processes within processes.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")
local core = require("mproc.core")
local mproc = require("mproc")
local proc = require("spec.support.proc")

-- In a pid namespace of its own the next pid can be chosen. The status 77 says that there is none to be had.
local PRELUDE = [[
  local core = require("mproc.core")
  local hostile = require("hostile")
  local mproc = require("mproc")
  local proc = require("spec.support.proc")

  -- A stranger, made by nobody's Process, that gets this pid.
  local function reuse(pid)
    mproc.sleep(0.02) -- a tick of the clock by which the system tells when a process began, or two
    for _ = 1, 100 do
      local file = assert(io.open("/proc/sys/kernel/ns_last_pid", "w"))
      file:write(pid - 1)
      file:close()
      local got = hostile.fork()
      if got == 0 then
        hostile.exec("sleep", "100")
      elseif got == pid then
        proc.wait_asleep(pid)
        return
      end
      hostile.kill(got, 9)
      hostile.reap(got)
    end
    error("the pid could not be had again")
  end

  local function stranger_lives(pid)
    local state = proc.state(pid)
    return state ~= nil and state ~= "Z"
  end
]]

local function run_in_namespace(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(PRELUDE, text)
  file:close()
  local unshare = "unshare --pid --fork --kill-child --mount-proc"
  local command = ("u='%s'; $u true 2>/dev/null || u='%s --user --map-root-user'; $u true 2>/dev/null || exit 77; "
    .. "LUA_PATH='./?.lua;'\"$LUA_PATH\" $u sh -c '%s %s; exit $?'"):format(unshare, unshare, program.lua, path)
  local r = program.shell(command, 60)
  os.remove(path)
  return r
end

local function assert_prints(expected, text)
  local r = run_in_namespace(text)
  if r.code == 77 then
    return pending("no pid namespace is to be had here")
  end
  assert.equal(expected, r.out, r.err)
end

describe("a pid that names another process by now", function()
  local REAPED = [[
    local p = mproc.Process(function() mproc.sleep(100) end):start()
    %s
    p:kill()
    hostile.reap(p.pid)
    reuse(p.pid)
    local killed = p:kill()
    print(killed, p:is_alive(), p:join(0), mproc.wait({ p }, 0)[1] == p, p:terminate({ tree = true }), p.exitcode,
      stranger_lives(p.pid))
  ]]

  for when, wait in pairs({ ["as it came up"] = "", ["later"] = "proc.wait_asleep(p.pid)" }) do
    it(("is not taken for a child that was killed %s and reaped by the host"):format(when), function()
      assert_prints("true\tfalse\ttrue\ttrue\ttrue\t-9\ttrue\n", REAPED:format(wait))
    end)
  end

  it("is not signalled by a relative of the dead one", function()
    assert_prints("true\tfalse\ttrue\n", [[
      local p = mproc.Process(function() mproc.sleep(100) end):start()
      local go, said = mproc.Event(), mproc.Queue()
      local sibling = mproc.Process(function()
        go:wait()
        said:put({ p:kill(), p:is_alive() })
      end):start()
      proc.wait_asleep(p.pid)
      p:kill()
      hostile.reap(p.pid)
      reuse(p.pid)
      go:set()
      local told = said:get(20)
      sibling:join()
      print(told[1], told[2], stranger_lives(p.pid))
    ]])
  end)

  it("is not taken for one's parent", function()
    assert_prints("false\ttrue\ttrue\n", [[
      local said, go = mproc.Queue(), mproc.Event()
      local p = mproc.Process(function()
        mproc.Process(function()
          go:wait()
          local parent = mproc.parent_process()
          said:put({ parent:is_alive(), (parent:join(0)), mproc.wait({ parent }, 0)[1] == parent })
        end):start()
        said:put("started")
        mproc.sleep(100)
      end):start()
      assert(said:get(20) == "started")
      p:kill()
      hostile.reap(p.pid)
      reuse(p.pid)
      go:set()
      print(table.unpack(said:get(20)))
    ]])
  end)

  it("holds none of the dead one's locks, messages and permits", function()
    assert_prints("nil\ttrue\tabandoned\ttrue\tmessage\n", [[
      local l, s, q, ready = mproc.Lock(), mproc.BoundedSemaphore(1), mproc.Queue(), mproc.Event()
      q:put("message")
      local p = mproc.Process(function()
        l:acquire()
        s:acquire()
        local _, lease = q:lease()
        ready:set()
        mproc.sleep(100)
        lease:done()
      end):start()
      assert(ready:wait(20))
      p:kill()
      hostile.reap(p.pid)
      reuse(p.pid)
      local owner = l:owner()
      local ok, word = l:acquire(20)
      print(owner, ok, word, (s:acquire(20)), (q:get(20)))
    ]])
  end)

  it("may be a child's own: it is a process like any other", function()
    assert_prints("true\ttrue\t-9\tsecond\ttrue\n", [[
      local function start(f)
        return mproc.Process(f):start()
      end
      local first = start(function() mproc.sleep(100) end)
      first:kill()
      hostile.reap(first.pid)
      local second
      for _ = 1, 100 do
        local file <close> = assert(io.open("/proc/sys/kernel/ns_last_pid", "w"))
        file:write(first.pid - 1)
        file:close()
        second = start(function() return "second" end)
        if second.pid == first.pid then break end
        second:join()
      end
      print(second.pid == first.pid, first:join(0), first.exitcode, second:result(20), second:join(20))
    ]])
  end)
end)

describe("processes", function()
  leaks.watch()

  local MANY = os.getenv("INSTRUMENTED") and 200 or 2000 -- of those that are ten times as large and as slow

  it("may be " .. MANY .. " at once, and each is heard and joined", function()
    local q, go, all = mproc.Queue(), mproc.Event(), {}
    for i = 1, MANY do
      all[i] = assert(mproc.Process(function()
        q:put(i)
        go:wait()
      end):start())
    end
    local seen = {}
    for _ = 1, MANY do
      seen[q:get(60)] = true
    end
    assert.equal(MANY, #seen)
    assert.equal(MANY, #mproc.active_children())
    assert.equal(MANY + 1, core.stats().processes)
    go:set()
    for i = 1, MANY do
      assert.is_true(all[i]:join(60))
      assert.equal(0, all[i].exitcode)
      all[i]:close()
    end
    assert.equal(1, core.stats().processes)
  end)

  it("that are more than there is room for are an error value, until some have ended", function()
    local r = program.text([[
      local mproc = require("mproc")
      local go, all, message, name = mproc.Event(), {}, nil, nil
      repeat
        local p, why, errname = mproc.Process(function() go:wait() end):start()
        all[#all + 1] = p
        message, name = why, errname
      until message
      print(#all > 50, name)
      print(message)
      print(#mproc.active_children() == #all)
      print(select(4, pcall(mproc.Pool, 2)))
      go:set()
      for _, p in ipairs(all) do
        assert(p:join(20) and p.exitcode == 0)
      end
      print(mproc.Process(function() return "room again" end):start():result())
    ]], { seconds = 60, env = "MPROC_ARENA=16M" })
    assert.matches("^true\tEAGAIN\ncannot start process 'Process%-%d+': [^\n]*MPROC_ARENA[^\n]*\ntrue\n", r.out, r.err)
    assert.matches("\nEAGAIN\nroom again\n$", r.out, r.err)
  end)

  it("may join their parent when it has long been dead", function()
    local said = mproc.Queue()
    local p = mproc.Process(function()
      local parent_of_that = mproc.getpid()
      mproc.Process(function()
        proc.until_true(function() return mproc.getppid() ~= parent_of_that end, "another parent")
        said:put({ (mproc.parent_process():join(20)) })
      end):start()
      os.execute("kill -KILL " .. mproc.getpid())
    end):start()
    assert.same({ true }, said:get(20))
    assert.is_true(p:join(20))
    p:close()
    proc.until_true(function() return core.stats().processes == 1 end, "the end of the grandchild")
  end)

  it("may be nested five deep, and are all gone when the first is killed with its tree", function()
    local q = mproc.Queue()
    local function nest(depth)
      q:put({ depth, mproc.getpid() })
      if depth < 5 then
        mproc.Process(nest, depth + 1):start()
      end
      mproc.sleep(100)
    end
    local p = mproc.Process(nest, 1):start()
    local pids = {}
    for depth = 1, 5 do
      local said = q:get(20)
      assert.equal(depth, said[1])
      pids[depth] = said[2]
    end
    p:kill({ tree = true })
    assert.is_true(p:join(20))
    p:close()
    for _, pid in ipairs(pids) do
      proc.until_true(function()
        local state = proc.state(pid)
        return state == nil or state == "Z"
      end, "the end of process " .. pid)
    end
    proc.until_true(function() return core.stats().processes == 1 end, "a registry with nobody else in it")
  end)

  it("five deep each return what the next returned, through queues, pipes and pools", function()
    local function nest(depth)
      if depth == 0 then
        return "bottom"
      end
      local q = mproc.Queue()
      local a, b = mproc.Pipe()
      local _ <close> = mproc.Process(function()
        a:send(depth)
        q:put(nest(depth - 1))
      end):start()
      local pool <close> = mproc.Pool(1)
      assert(pool:apply(math.max, { depth, 0 }) == b:recv(20))
      return depth .. " " .. q:get(60)
    end
    assert.equal("5 4 3 2 1 bottom", nest(5))
  end)
end)
