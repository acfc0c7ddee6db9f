-- SPDX-License-Identifier: MIT
-- Ends of programs: what becomes of children at the end of their parent, and what a child's exit runs and flushes.

local program = require("spec.support.program")

describe("at the end of the main script", function()
  local function run(source, seconds)
    local r = program.text('local mproc = require("mproc")\n' .. source, { seconds = seconds or 20 })
    assert.is_false(r.timed_out, "it hangs: " .. r.out .. r.err)
    return r
  end

  local SLOW = 'mproc.Process(function() mproc.sleep(0.3) mproc.print("done") end):start()\n'
  local DAEMON = [[
    local d = mproc.Process{ daemon = true, target = function() mproc.sleep(60) mproc.print("never") end }:start()
  ]]

  local function ends_in_every_way(setup, check)
    for what, finish in pairs({
      normally = { "", 0 },
      ["by an error"] = { "error('out')", 1 },
      ["by os.exit"] = { "os.exit(3)", 3 },
      ["by os.exit that closes the state"] = { "os.exit(4, true)", 4 },
      ["in a coroutine"] = { "coroutine.wrap(function() os.exit(5) end)()", 5 },
    }) do
      local r = run(setup .. finish[1])
      assert.equal(finish[2], r.code, what .. ": " .. r.err)
      check(r, what)
    end
  end

  it("children are waited for, however it ends", function()
    ends_in_every_way(SLOW, function(r, what) assert.equal("done\n", r.out, what) end)
  end)

  it("children nobody holds are waited for as well", function()
    assert.equal("done\n", run(SLOW .. "collectgarbage() collectgarbage()").out)
  end)

  it("daemons are ended, however it ends", function()
    ends_in_every_way(DAEMON .. "mproc.print(d.pid)\n", function(r, what)
      assert.truthy(r.out:find("^%d+\n$"), what .. r.out)
      assert.is_nil(io.open("/proc/" .. r.out:match("%d+") .. "/stat"), what)
    end)
  end)

  it("a daemon that ignores SIGTERM is killed", function()
    local r = run([[
      local q = mproc.Queue()
      local d = mproc.Process{ daemon = true, target = function()
        os.execute("true") -- keeps the child busy with a process of its own
        mproc.Process(function() mproc.sleep(0.1) end):start()
        q:put(true)
        mproc.sleep(60)
      end }:start()
      q:get()
      os.execute("kill -STOP " .. d.pid)
    ]])
    assert.equal(0, r.code)
  end)

  it("says whom it waits for when that takes long", function()
    local r = run('mproc.Process{ name = "slowcoach", target = function() mproc.sleep(2.5) end }:start()')
    assert.truthy(r.err:find("^mproc: pid %d+ waits for the end of 'slowcoach' %(pid %d+%)\n$"), r.err)
    assert.equal("", run(SLOW).err)
  end)

  it("grandchildren are waited for by their parent", function()
    local r = run([[
      mproc.Process(function()
        mproc.Process(function() mproc.sleep(0.2) mproc.print("grandchild") end):start()
        mproc.print("child")
      end):start()
    ]])
    assert.equal("child\ngrandchild\n", r.out)
  end)

  it("Ctrl-C ends the wait", function()
    local r = run([[
      local pid = mproc.getpid()
      mproc.Process(function() mproc.sleep(0.3) os.execute("kill -INT " .. pid) mproc.sleep(0.5) end):start()
      os.exit(0)
    ]])
    assert.equal(130, r.code, r.err)
  end)
end)

describe("a parent that is killed", function()
  local function alive(pid)
    local file <close> = io.open("/proc/" .. pid .. "/stat")
    return file ~= nil and not file:read("a"):find("^%d+ %(.*%) [ZX]")
  end

  it("takes its daemons with it, and only them", function()
    local r = program.text([[
      local mproc = require("mproc")
      local q = mproc.Queue()
      local p = mproc.Process(function()
        local d = mproc.Process{ daemon = true, target = function() mproc.sleep(60) end }:start()
        mproc.Process(function() mproc.sleep(0.5) mproc.print("finished") q:put(true) end):start()
        q:put(d.pid)
        mproc.sleep(60)
      end):start()
      local daemon = q:get()
      p:kill()
      p:join()
      q:get()
      mproc.print(daemon)
    ]], { seconds = 20 })
    assert.is_false(r.timed_out)
    assert.truthy(r.out:find("^finished\n%d+\n$"), r.out .. r.err)
    assert.is_false(alive(r.out:match("(%d+)\n$")))
  end)
end)

describe("a child's exit", function()
  local function code_of(body)
    local mproc = require("mproc")
    local target = load("local exit, mproc = ... return function() " .. body .. " end")(os.exit, mproc)
    local p <close> = mproc.Process(target):start()
    assert.is_true(p:join(20))
    return p.exitcode
  end

  it("gives os.exit's code", function()
    assert.equal(0, code_of("os.exit()"))
    assert.equal(0, code_of("os.exit(true)"))
    assert.equal(1, code_of("os.exit(false)"))
    assert.equal(7, code_of("os.exit(7)"))
    assert.equal(7, code_of("os.exit(7, true)"))
    assert.equal(255, code_of("os.exit(-1)"))
    assert.equal(0, code_of("return"))
  end)

  it("is the same by an os.exit kept from before", function()
    assert.equal(0, code_of("exit()"))
    assert.equal(7, code_of("exit(7)"))
  end)

  it("checks os.exit's argument", function()
    assert.equal(9, code_of("local ok = pcall(os.exit, {}) os.exit(ok and 1 or 9)"))
  end)

  local INHERITED = [[
    local mproc = require("mproc")
    local keep = setmetatable({}, { __gc = function() io.stderr:write("gc in ", mproc.getpid(), "\n") end })
    local main = mproc.getpid()
    local exit = os.exit
    do
      local function report() io.stderr:write("close in ", mproc.getpid(), "\n") end
      local scope <close> = setmetatable({}, { __close = report })
      local p = mproc.Process(function() BODY end):start()
      p:join()
    end
    io.stderr:write("main is ", main, "\n")
    keep = keep
  ]]

  for what, body in pairs({ ["a return"] = "", ["os.exit"] = "os.exit(0, true)", ["an old os.exit"] = "exit(0)",
    ["an error"] = "error('x')" }) do
    it("runs nothing that was inherited: " .. what, function()
      local r = program.text((INHERITED:gsub("BODY", body)), { seconds = 20 })
      local main = r.err:match("main is (%d+)")
      local lines = ("close in %s\nmain is %s\ngc in %s\n"):format(main, main, main)
      assert.equal(lines, r.err:sub(-#lines))
      assert.equal(1, select(2, r.err:gsub("close in", "")))
      assert.equal(1, select(2, r.err:gsub("gc in", "")))
    end)
  end

  it("flushes what the child wrote, and only that", function()
    for _, ending in ipairs({ "", "os.exit(0)", "exit(0)" }) do
      local r = program.text(([[
        local mproc = require("mproc")
        local exit = os.exit
        io.write("parent ")
        mproc.Process(function() io.write("child ") %s end):start():join()
        io.write("parent again")
      ]]):format(ending))
      assert.equal("parent child parent again", r.out)
    end
  end)

  it("does not move a file that its parent reads", function()
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w+"))
    for i = 1, 3000 do
      file:write("line ", i, "\n")
    end
    file:seek("set", 0)
    local r = program.text(([[
      local mproc = require("mproc")
      local exit = os.exit
      local file = io.open(%q)
      local function both(f)
        local line = file:read()
        mproc.Process(f):start():join()
        return line
      end
      both(function() end)
      both(function() os.exit(0) end)
      both(function() exit(0) end)
      local n = 3
      for line in file:lines() do n = n + 1 assert(line == "line " .. n, line) end
      print(n)
    ]]):format(path))
    os.remove(path)
    assert.equal("3000\n", r.out, r.err)
  end)
end)
