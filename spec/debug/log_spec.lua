-- SPDX-License-Identifier: MIT
-- The log: its levels, what each tells, how its lines look, and that it is silent when it is off.

local blame = require("spec.support.blame")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

local HEAD = "^mproc: (%d+%.%d+) (%l+) '([^']*)' %(pid (%d+)%): (.*)$"

describe("the log", function()
  leaks.watch()

  -- Runs the source after `local mproc = require("mproc")`, on the same line.
  local function run(source, level, extra)
    local r = program.text('local mproc = require("mproc") ' .. source, {
      seconds = 20, env = ("MPROC_DEBUG=%s %s"):format(level or "1", extra or ""),
    })
    assert.is_false(r.timed_out, r.out .. r.err)
    return r
  end

  -- The lines of the log as { time, level, name, pid, text }; all other output fails the test.
  local function lines_of(r)
    local lines = {}
    for line in r.err:gmatch("[^\n]+") do
      local time, level, name, pid, text = line:match(HEAD)
      assert.truthy(time, "no line of the log: " .. line)
      lines[#lines + 1] = { time = tonumber(time), level = level, name = name, pid = tonumber(pid), text = text }
    end
    return lines
  end

  -- The one line whose text has the pattern.
  local function only(lines, pattern)
    local found
    for _, line in ipairs(lines) do
      if line.text:find(pattern) then
        assert.is_nil(found, "twice: " .. pattern)
        found = line
      end
    end
    local texts = {}
    for i, line in ipairs(lines) do
      texts[i] = line.level .. " " .. line.text
    end
    assert.truthy(found, pattern .. " is not among:\n" .. table.concat(texts, "\n"))
    return found
  end

  local function none(lines, pattern)
    for _, line in ipairs(lines) do
      assert.is_nil(line.text:find(pattern), line.text)
    end
  end

  describe("level", function()
    it("is off to begin with, is set by name, and the one before is returned", function()
      local before = mproc.log()
      finally(function() mproc.log(before) end)
      mproc.log("off")
      assert.equal("off", mproc.log("warning"))
      assert.equal("warning", mproc.log("debug"))
      assert.equal("debug", mproc.log())
      assert.equal("debug", mproc.log("off"))
      assert.equal("off\n", run("print(mproc.log())", "").out)
    end)

    it("that is none raises and names those there are", function()
      blame.caller(function() mproc.log("loud") end, '"off", "warning", "info" or "debug"', '"loud"')
      blame.caller(function() mproc.log(1) end, '"debug"', "got 1")
      blame.caller(function() mproc.log(true) end, '"debug"', "got true")
    end)

    it("comes from MPROC_DEBUG: 1, 0 or a name", function()
      for value, level in pairs({ ["1"] = "debug", ["0"] = "off", info = "info", WARNING = "warning" }) do
        assert.equal(level .. "\n", run("print(mproc.log())", value).out)
      end
      local r = run("", "perhaps")
      assert.equal(1, r.code)
      assert.truthy(r.err:find("MPROC_DEBUG must be 1, 0, off, warning, info or debug", 1, true), r.err)
      assert.truthy(r.err:find("perhaps", 1, true), r.err)
    end)

    it("is inherited by children and theirs", function()
      local r = run([[
        mproc.log("info")
        print((mproc.Process(function()
          return (mproc.Process(function() return mproc.log() end):start():result())
        end):start():result()))
      ]], "off")
      assert.equal("info\n", r.out)
    end)

    it("outlives a module that is loaded anew", function()
      local r = run([[
        mproc.log("warning")
        for name in pairs(package.loaded) do if name:find("^mproc") then package.loaded[name] = nil end end
        print(require("mproc").log())
      ]], "1")
      assert.equal("warning\n", r.out)
    end)
  end)

  it("is silent when it is off, and when nothing has happened", function()
    local busy = [[
      n = 1
      local q = mproc.Queue()
      mproc.Process(function() n = 2 os.exit(3) end):start():join()
      mproc.Process(print):run()
    ]]
    assert.equal("", run(busy, "off").err)
    assert.equal("", run(busy, "").err)
    assert.equal("", run("local q <close> = mproc.Queue() local l = mproc.Lock()", "1").err)
  end)

  it("has one line for each event, with time, level, name and pid, in the order of time", function()
    local r = run([[
      local p = mproc.Process{ name = "w1", target = function() end }:start()
      p:join()
      print(mproc.getpid(), p.pid)
    ]], "info")
    local main, child = r.out:match("(%d+)\t(%d+)")
    local lines = lines_of(r)
    assert.equal(2, #lines, r.err)
    assert.same({ "info", "MainProcess", tonumber(main), ("started 'w1' (pid %s)"):format(child) },
      { lines[1].level, lines[1].name, lines[1].pid, lines[1].text })
    assert.equal(("'w1' (pid %s) ended: exit code 0, its target returned"):format(child), lines[2].text)
    assert.truthy(0 <= lines[1].time and lines[1].time <= lines[2].time and lines[2].time < 20)
  end)

  it("keeps a line one line, whatever the process is called, and cuts it", function()
    local lines = lines_of(run([[
      mproc.Process{ name = "a\nb\27c", target = function() end }:start():join()
      require("mproc.core").log("info", ("x"):rep(10000))
    ]], "info"))
    assert.equal(3, #lines)
    only(lines, "^started 'a b c'")
    assert.truthy(#only(lines, "^xxx").text < 4096)
  end)

  it("writes a line at once: those of many processes never mix", function()
    local r = program.shell([[MPROC_DEBUG=info ${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      for _ = 1, 8 do
        mproc.Process(function()
          for _ = 1, 20 do require("mproc.core").log("info", ("y"):rep(3000)) end
        end):start()
      end
    ' 2>&1 >/dev/null | cat >&2]], 30)
    local count = 0
    for _, line in ipairs(lines_of(r)) do
      if line.text == ("y"):rep(3000) then
        count = count + 1
      end
    end
    assert.equal(160, count)
  end)

  describe("tells the end of a process and why:", function()
    local function end_of(body, ending)
      return only(lines_of(run(([[
        io.stderr:setvbuf("no")
        require("mproc.core").write_stderr = function() end
        local p = mproc.Process(function() %s end):start() %s p:join()
      ]]):format(body, ending or ""), "info")), "ended:")
    end

    it("its target returned or raised, it called os.exit", function()
      assert.truthy(end_of("return 1").text:find("exit code 0, its target returned", 1, true))
      local raised = end_of("error('x')")
      assert.truthy(raised.text:find("exit code 1, its target raised an error", 1, true), raised.text)
      assert.equal("warning", raised.level)
      local left = end_of("os.exit(7)")
      assert.truthy(left.text:find("exit code 7, it called os.exit", 1, true), left.text)
      assert.equal("warning", left.level)
    end)

    it("a signal, its own doing or sent from here", function()
      local killed = end_of("os.execute('kill -9 ' .. mproc.getpid())")
      assert.truthy(killed.text:find("signal 9 (SIGKILL)", 1, true), killed.text)
      assert.equal("warning", killed.level)
      local ended = end_of("mproc.sleep(60)", "p:terminate()")
      assert.truthy(ended.text:find("signal 15 (SIGTERM), sent from here", 1, true), ended.text)
      assert.equal("info", ended.level)
    end)

    it("even when nobody waited for it, or it is a daemon at the end of the program", function()
      local lines = lines_of(run([[
        mproc.Process{ name = "worker", target = function() end }:start()
        mproc.Process{ name = "server", daemon = true, target = function() mproc.sleep(60) end }:start()
      ]], "info"))
      only(lines, "^'worker' .* ended: exit code 0")
      only(lines, "^ends daemon 'server' .* still runs; join%(%) it before")
      only(lines, "^'server' .* ended: signal 15")
    end)
  end)

  it("tells of what an owner left that died with it", function()
    for maker, acquire in pairs({ Lock = "acquire", RLock = "acquire", RWLock = "write_acquire" }) do
      local line = only(lines_of(run(([[
        local x = mproc.%s()
        mproc.Process(function() x:%s() os.execute("kill -9 " .. mproc.getpid()) end):start():join()
        assert(select(2, x:%s(5)) == "abandoned")
      ]]):format(maker, acquire, acquire), "warning")), "abandoned")
      assert.equal("warning", line.level)
      assert.truthy(line.text:find(maker, 1, true), line.text)
    end
    only(lines_of(run([[
      local jobs = mproc.JoinableQueue()
      jobs:put("a job")
      mproc.Process(function() jobs:get() os.execute("kill -9 " .. mproc.getpid()) end):start():join()
      assert(select(2, jobs:join(5)) == "abandoned")
    ]], "warning")), "abandoned by a process that died: JoinableQueue")
    only(lines_of(run([[
      local c = mproc.Condition()
      local waiting = mproc.Queue()
      local p = mproc.Process(function()
        c:acquire()
        waiting:put(true)
        local _, word = c:wait(20)
        assert(word == "abandoned")
      end):start()
      waiting:get()
      mproc.Process(function()
        c:acquire()
        c:notify()
        os.execute("kill -9 " .. mproc.getpid())
      end):start():join()
      p:join()
      assert(p.exitcode == 0)
    ]], "warning")), "abandoned by a process that died: Condition")
  end)

  describe("tells of a pool", function()
    it("the workers that died and are replaced, the retries, and what failed in the end", function()
      local lines = lines_of(run([[
        local pool <close> = mproc.Pool{ processes = 1, on_crash = "retry", retries = 2 }
        assert(not pcall(pool.apply, pool, os.exit, { 3 }))
      ]], "warning"))
      only(lines, "^retry 1 of 2: .*exit code 3, while it ran task 1, apply")
      only(lines, "^retry 2 of 2: ")
      only(lines, "^failed: .*task 1, apply.*earlier attempts died too")
      local deaths = 0
      for _, line in ipairs(lines) do
        deaths = deaths + (line.text:find("^pool worker .* died: exit code 3; another takes its place") and 1 or 0)
      end
      assert.equal(3, deaths)
    end)

    it("a task that ran out of time", function()
      local lines = lines_of(run([[
        local pool <close> = mproc.Pool{ processes = 1, task_timeout = 0.05 }
        assert(not pcall(pool.apply, pool, mproc.sleep, { 60 }))
      ]], "warning"))
      only(lines, "^failed: task 1, apply.* ran longer than its task_timeout of 0.05 s")
    end)

    it("workers that have done their share, at the level of info", function()
      local source = [[
        local pool <close> = mproc.Pool{ processes = 1, maxtasksperchild = 2 }
        for i = 1, 3 do pool:submit(math.abs, i):get() end
      ]]
      only(lines_of(run(source, "info")), "^pool worker 'PoolWorker%-1' .* has left after 2 tasks")
      assert.equal("", run(source, "warning").err)
    end)
  end)

  it("tells of threads at a fork", function()
    local core = require("mproc.core")
    assert.equal(1, core.threads())
    local made = program.shell([[set -e
      dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
      cat >"$dir/t.c" <<'C'
#include <lua.h>
#include <pthread.h>
#include <unistd.h>
static void *sit(void *p) { pause(); return p; }
int luaopen_threaded(lua_State *L) {
  pthread_t t;
  lua_pushboolean(L, pthread_create(&t, NULL, sit, NULL) == 0);
  return 1;
}
C
      ${CC:-cc} -shared -fPIC -pthread -I${LUA_INCDIR:-/usr/include/lua5.4} -o "$dir/threaded.so" "$dir/t.c"
      LUA_CPATH="$dir/?.so;$LUA_CPATH" MPROC_DEBUG=warning ${LUA:-lua5.4} -e '
        local mproc = require("mproc")
        mproc.Process(function() end):start():join()
        assert(require("threaded"))
        mproc.Process{ name = "late", target = function() end }:start():join()'
    ]], 60)
    assert.equal(0, made.code, made.err)
    local lines = lines_of(made)
    assert.equal(1, #lines, made.err)
    assert.truthy(only(lines, "2 threads run").text:find("'late'.*start processes before threads"))
  end)

  describe("in debug mode", function()
    it("lists the globals that a child assigned, each with the remedy, and no others", function()
      local lines = lines_of(run([[
        n, same, gone = 0, {}, 1
        local p = mproc.Process(function() n = n + 1 same.x = 1 gone = nil fresh = true end):start()
        p:join()
        mproc.Process(function() n = n + 2 os.exit(0) end):start():join()
      ]]))
      local changed = 0
      for _, line in ipairs(lines) do
        if line.text == "changed n in child; parent's n is untouched; use mproc.Value or return it" then
          changed = changed + 1
          assert.truthy(line.name:find("^Process%-"))
        end
      end
      assert.equal(2, changed)
      only(lines, "^made global fresh in child; parent has none; use mproc.Value or return it$")
      only(lines, "^removed gone in child")
      none(lines, "same")
    end)

    it("lists them for the workers of a pool, and after an error", function()
      only(lines_of(run([[
        total = 0
        local pool <close> = mproc.Pool(1)
        pool:map(function(x) total = total + x end, { 1, 2, 3 })
      ]])), "total in child")
      local r = run("n = 0 mproc.Process(function() n = 1 error('boom') end):start():join()")
      assert.truthy(r.err:find("changed n in child", 1, true), r.err)
    end)

    it("lists a great many in few lines", function()
      local lines = lines_of(run("mproc.Process(function() for i = 1, 500 do _G['v' .. i] = i end end):start():join()"))
      assert.truthy(#lines < 30)
      only(lines, "^and 480 globals more$")
    end)

    local OPEN = [[
      local q = mproc.Queue() q:put(1)
      local closed = mproc.Queue() closed:close()
      local pair = {} for i = 1, 2 do pair[i] = mproc.JoinableQueue() end
      local lock, free = mproc.Lock(), mproc.Lock()
      lock:acquire()
      local _, lease = q:lease()
      local a, b = mproc.Pipe()
      b:close()
    ]]

    it("lists what is left open at the end, with kind, count, name and place, however the program ends", function()
      for what, ending in pairs({ ["the end"] = "", ["os.exit"] = "os.exit(0)", ["closed"] = "os.exit(0, true)" }) do
        local lines = lines_of(run(OPEN .. "keep = { q, closed, pair, lock, free, lease, a } " .. ending))
        assert.equal(5, #lines, what)
        only(lines, "^left open: 1 Queue, made at [^:]+:1: Queue %d+: 0 messages$")
        only(lines, "^left open: 2 JoinableQueue, made at [^:]+:3: one is JoinableQueue")
        only(lines, "^left open: 1 Lock, made at [^:]+:4: Lock %d+: held by")
        only(lines, "^left open: 1 lease, made at [^:]+:6: .*open$")
        only(lines, "^left open: 1 Pipe, made at [^:]+:7: Connection %d+")
      end
    end)

    it("lists what a child leaves, and nothing that it inherited but locks that it holds", function()
      local lines = lines_of(run([[
        local q <close> = mproc.Queue()
        local lock = mproc.Lock()
        mproc.Process{ name = "kid", target = function() keep = mproc.Queue() lock:acquire() end }:start():join()
      ]]))
      local count = 0
      for _, line in ipairs(lines) do
        if line.text:find("^left open") then
          count = count + 1
          assert.equal("kid", line.name)
        end
      end
      assert.equal(2, count)
      only(lines, "^left open: 1 Queue, made at [^:]+:3")
      only(lines, "^left open: 1 Lock, made at [^:]+:2")
    end)

    it("tells of a pool that nobody ended", function()
      only(lines_of(run("local pool = mproc.Pool(1) pool:apply(math.abs, { 1 })")),
        "^left open: 1 Pool, made at [^:]+:1: .*1 workers, open")
    end)

    it("keeps blaming the lines that make mistakes", function()
      local before = mproc.log("debug")
      finally(function() mproc.log(before) end)
      local q <close> = mproc.Queue()
      blame.caller(function() mproc.Queue(-1) end, "maxsize")
      blame.caller(function() mproc.Lock(1) end, "no arguments")
      blame.caller(function() mproc.Pipe(1) end, "duplex")
      blame.caller(function() mproc.Pool(0) end, "at least 1")
      blame.caller(function() q:lease(true) end, "timeout")
    end)

    it("changes nothing about what is made", function()
      local before = mproc.log("debug")
      finally(function() mproc.log(before) end)
      for _, maker in ipairs({ "Queue", "SimpleQueue", "JoinableQueue", "Lock", "RLock", "RWLock" }) do
        assert.equal(1, select("#", mproc[maker]()))
      end
      local a, b = mproc.Pipe(false)
      assert.same({ true, true }, { a.readable, b.writable })
      a:close()
      b:close()
      local pool <close> = mproc.Pool(1)
      assert.equal(3, pool:apply(math.max, { 1, 3 }))
    end)

    it("leaves everything as it was when it is over", function()
      local before = { mproc.Queue, mproc.Lock, mproc.Pool, mproc.Pipe, os.exit }
      local level = mproc.log("debug")
      assert.are_not.equal(before[1], mproc.Queue)
      mproc.log("info")
      assert.same(before, { mproc.Queue, mproc.Lock, mproc.Pool, mproc.Pipe, os.exit })
      mproc.log(level)
    end)
  end)

  describe("print_prefix", function()
    it("puts the process's name before what print writes, here and in children, until it is off again", function()
      local r = run([[
        mproc.print("none")
        print(mproc.print_prefix(true), mproc.print_prefix())
        io.stdout:flush()
        mproc.print("here", 1)
        mproc.Process{ name = "w1", target = function() mproc.print("there") end }:start():join()
        mproc.print_prefix(false)
        mproc.print("none")
      ]], "off")
      assert.equal("none\nfalse\ttrue\n[MainProcess] here\t1\n[w1] there\nnone\n", r.out)
      blame.caller(function() mproc.print_prefix("yes") end, "boolean")
    end)
  end)
end)
