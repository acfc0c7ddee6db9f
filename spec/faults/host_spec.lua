-- SPDX-License-Identifier: MIT
-- Hosts that ignore SIGCHLD or reap all children themselves, and the limits that a system sets: descriptors, file
-- sizes, address space, memory. What can work without does; the rest says so.

local program = require("spec.support.program")

local function run(text)
  return program.text(text, { seconds = 60 })
end

describe("a host that", function()
  -- meanwhile(p) runs when p has ended or is about to.
  local LIFE = [[
    local mproc = require("mproc")
    local core = require("mproc.core")
    local hostile = require("hostile")
    collectgarbage()
    local objects = core.stats().objects
    local function meanwhile(p) %s end
    local function child(f) return mproc.Process(f):start() end
    do
      local p = child(function() return 5, "five" end)
      meanwhile(p)
      print("returns", p:join(20), p.exitcode, p:result())
      p:close()
    end
    do
      local p = child(function() error({ code = 1 }) end)
      meanwhile(p)
      local ok, err = pcall(p.result, p, 20)
      print("raises", ok, err.code, p.exitcode)
      p:close()
    end
    do
      local p = child(function() os.exit(3) end)
      meanwhile(p)
      print("exits", p:join(20), p.exitcode)
      p:close()
    end
    for _, how in ipairs({ "terminate", "kill" }) do
      local p = child(function() mproc.sleep(100) end)
      p[how](p)
      meanwhile(p)
      print(how, p:join(20), p.exitcode, p:is_alive(), (pcall(p.result, p)))
      p:close()
    end
    do
      local p = child(function() mproc.sleep(0.05) end)
      local sentinel = p.sentinel
      meanwhile(p)
      print("wait", mproc.wait({ p }, 20)[1] == p, mproc.wait({ sentinel }, 20)[1] == sentinel)
      p:close()
    end
    do
      local p <close> = child(function() return 1 end)
      meanwhile(p)
    end
    do
      local l, held = mproc.Lock(), mproc.Event()
      local p = child(function() l:acquire() held:set() hostile.kill(mproc.getpid(), 9) end)
      assert(held:wait(20))
      meanwhile(p)
      print("lock", l:acquire(20))
      l:release()
      p:join()
      p:close()
    end
    print("children", #mproc.active_children())
    collectgarbage()
    collectgarbage()
    print("left", core.stats().objects - objects <= 1, core.stats().processes) -- a spare queue for the next result
  ]]

  local EXPECTED = table.concat({ "returns\ttrue\t0\t5\tfive", "raises\tfalse\t1\t1", "exits\ttrue\t3",
    "terminate\ttrue\t-15\tfalse\tfalse", "kill\ttrue\t-9\tfalse\tfalse", "wait\ttrue\ttrue", "lock\ttrue\tabandoned",
    "children\t0", "left\ttrue\t1", "" }, "\n")

  it("ignores SIGCHLD learns every end all the same", function()
    local r = run("require('hostile').ignore(17)\n" .. LIFE:format(""))
    assert.equal(EXPECTED, r.out, r.err)
  end)

  it("ignores SIGCHLD from later on does so as well", function()
    local r = run(LIFE:format("hostile.ignore(17)"))
    assert.equal(EXPECTED, r.out, r.err)
  end)

  it("reaps first does so as well", function()
    local r = run(LIFE:format("hostile.reap(p.pid)"))
    assert.equal(EXPECTED, r.out, r.err)
  end)

  for name, prelude in pairs({
    ["ignores SIGCHLD"] = "hostile.ignore(17)",
    ["reaps first"] = "",
  }) do
    it(name .. " has pools that replace their workers", function()
      local r = run(([[
        local mproc = require("mproc")
        local hostile = require("hostile")
        %s
        local reaping = %s
        local pool = mproc.Pool(2)
        local before = pool:workers()
        local ok, err = pcall(pool.apply, pool, function() hostile.kill(mproc.getpid(), 9) end)
        print(ok, err.kind, err.signal)
        for _, pid in ipairs(pool:workers()) do
          hostile.kill(pid, 9)
          if reaping then hostile.reap(pid) end
        end
        print(#pool:map(math.abs, { 1, 2, 3, 4 }), #pool:workers())
        pool:close()
        print(pool:join(20))
      ]]):format(prelude, tostring(name:find("reaps") ~= nil)))
      assert.equal("false\tworker_died\t9\n4\t2\ntrue\n", r.out, r.err)
    end)
  end
end)

describe("a limit of open files", function()
  -- All that needs no descriptor of its own, and what says so that does. `free` are left.
  local USE = [[
    local mproc = require("mproc")
    local hostile = require("hostile")
    local free = %d
    local q, shared = mproc.Queue(), mproc.Value("integer")
    local a, b = mproc.Pipe()
    hostile.files(24)
    local held, file = {}
    repeat
      file = io.open("/dev/null")
      held[#held + 1] = file
    until not file
    collectgarbage()
    repeat local f = io.open("/dev/null") held[#held + 1] = f until not f
    for _ = 1, free do table.remove(held):close() end
    print("open", (io.open("/dev/null")) ~= nil)
    collectgarbage()
    q:put({ 1, ("x"):rep(100000) })
    print("queue", q:get()[1])
    a:send("text")
    print("pipe", b:recv(20))
    local p = mproc.Process(function() shared:add(1) q:put(io.read()) return "result" end):start()
    print("process", p:join(20), p:result(), shared.value, q:get(20), io.read and true)
    p:close()
    local sleeper = mproc.Process(function() mproc.sleep(100) end):start()
    print("timeout", sleeper:join(0.05))
    print("terminate", sleeper:terminate({ tree = true }), sleeper:join(20), sleeper.exitcode)
    sleeper:close()
    local late = mproc.Process(function() mproc.sleep(0.05) q:put("late") mproc.sleep(100) end):start()
    print("wait", #mproc.wait({ q, late }, 20), q:get(20))
    late:kill()
    print("wait", mproc.wait({ late }, 20)[1] == late)
    late:close()
    local pool = mproc.Pool(2)
    print("pool", #pool:map(math.abs, { 1, 2, 3 }), (pcall(pool.apply, pool, os.exit, { 1 })),
      pool:apply(math.max, { 1, 2 }))
    pool:close()
    print("pool", pool:join(20))
    mproc.print("print", mproc.cpu_count() >= 1)
    local l = mproc.Lock()
    print("lock", l:with(function() return l:locked() end))
  ]]

  local function expected(opens)
    return table.concat({ "open\t" .. tostring(opens), "queue\t1", "pipe\ttext", "process\ttrue\tresult\t1\tnil\ttrue",
      "timeout\tfalse\ttimeout", "terminate\ttrue\ttrue\t-15", "wait\t1\tlate", "wait\ttrue", "pool\t3\tfalse\t2",
      "pool\ttrue", "print\ttrue", "lock\ttrue", "" }, "\n")
  end

  for _, free in ipairs({ 0, 1, 2, 5 }) do
    it(("that leaves %d stops nothing that needs none"):format(free), function()
      local r = run(USE:format(free))
      assert.equal(expected(free > 0), r.out, r.err)
    end)
  end

  it("is told where a descriptor is asked for", function()
    local r = run([[
      local mproc = require("mproc")
      local hostile = require("hostile")
      local q = mproc.Queue()
      local a = mproc.Pipe()
      local p = mproc.Process(function() mproc.sleep(100) end):start()
      hostile.files(3)
      print(select(3, q:fileno()))
      print(select(3, a:fileno()))
      local ok, why = pcall(function() return p.sentinel end)
      print(ok, (why:find("open files") or why:find("file descriptors")) ~= nil)
      hostile.files(100)
      print(type(q:fileno()), type(p.sentinel))
      p:kill()
      p:join()
    ]])
    assert.equal("EMFILE\nEMFILE\nfalse\ttrue\nnumber\tnumber\n", r.out, r.err)
  end)

  it("that leaves none for the arena is no hindrance", function()
    local r = run([[
      local hostile = require("hostile")
      local reader = package.loadlib(package.searchpath("mproc.core", package.cpath), "luaopen_mproc_core")
      hostile.files(3)
      local ok, core = pcall(reader, "mproc.core")
      hostile.files(100)
      print(ok, core.stats().size >= 1 << 30, require("mproc").Process(function() return 5 end):start():result(20))
    ]])
    assert.equal("true\ttrue\t5\n", r.out, r.err)
  end)
end)

describe("a limit of", function()
  local USE = [[
    local loaded, mproc = pcall(require, "mproc")
    if not loaded then print((mproc:match("^[^\n]*"))) os.exit(0) end
    local q = mproc.Queue()
    local ok, err, message
    repeat
      ok, message, err = q:put(("x"):rep(100000))
    until not ok
    print(ok, err, message)
    while q:get(0) do end -- luacheck: ignore 542
    q:put("after")
    local p = mproc.Process(function() return q:get() end):start()
    print(p:result(20))
  ]]

  local FULL = "^nil\tENOMEM\tthe arena is full;[^\n]*MPROC_ARENA[^\n]*\nafter\nstatus 0\n$"

  -- What the program writes passes through a pipe: the limit is for its own files.
  local function run_with(limit)
    local file = os.tmpname()
    local out <close> = assert(io.open(file, "w"))
    out:write(USE)
    out:close()
    local r = program.shell(("{ %s; %s %s; echo status $?; } | cat"):format(limit, program.lua, file), 60)
    os.remove(file)
    return r
  end

  it("file sizes (ulimit -f) makes the arena smaller", function()
    local r = run_with("ulimit -f 65536") -- in blocks of 512 bytes
    assert.matches(FULL, r.out, r.err)
  end)

  -- Sanitizers and valgrind want terabytes of address space, and counts of lines are written to files at the end.
  local it_may = os.getenv("INSTRUMENTED") and pending or it

  it_may("file sizes that leaves no arena is an error of require", function()
    for _, blocks in ipairs({ 0, 1, 1000 }) do
      local r = run_with("ulimit -f " .. blocks)
      assert.matches("^mproc cannot map its shared memory:[^\n]*%(ulimit %-f%)[^\n]*\nstatus 0\n$", r.out, r.err)
    end
  end)

  it_may("address space (ulimit -v) makes the arena smaller", function()
    local r = run_with("ulimit -v 150000")
    assert.matches(FULL, r.out, r.err)
  end)

  it("memory that a cgroup sets kills who exceeds it, and nobody else", function()
    local group = ("/sys/fs/cgroup/memory/mproc-spec-%d"):format(os.time())
    local limit = "memory.limit_in_bytes"
    if not os.execute("mkdir " .. group .. " 2>/dev/null") then
      group, limit = group:gsub("/memory/", "/"), "memory.max"
      if not os.execute("mkdir " .. group .. " 2>/dev/null && test -e " .. group .. "/memory.max") then
        return pending("there is no memory cgroup to be made here")
      end
    end
    local r = run(([[
      local mproc = require("mproc")
      local group = %q
      local function write(name, value)
        local file = assert(io.open(group .. "/" .. name, "w"))
        file:write(value)
        assert(file:close())
      end
      write(%q, 32 << 20)
      local q, l, entered = mproc.Queue(), mproc.Lock(), mproc.Event()
      local before = mproc.Queue()
      local p = mproc.Process(function()
        write("cgroup.procs", mproc.getpid())
        l:acquire()
        entered:set()
        for i = 1, math.huge do
          before:put(i)
          q:put(("x"):rep(1 << 20) .. i)
        end
      end):start()
      assert(entered:wait(20))
      print(p:join(60), p.exitcode)
      print(l:acquire(20))
      l:release()
      local n, last = 0, nil
      while true do
        local text = q:get(0)
        if not text then break end
        n = n + 1
        assert(text == ("x"):rep(1 << 20) .. n)
      end
      print(n >= 5, before:qsize() - n == 1)
      p:close()
      q:put("went on")
      print(q:get())
    ]]):format(group, limit))
    os.execute("rmdir " .. group)
    assert.equal("true\t-9\ntrue\tabandoned\ntrue\ttrue\nwent on\n", r.out, r.err)
  end)
end)
