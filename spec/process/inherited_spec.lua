-- SPDX-License-Identifier: MIT
-- What a child has of its parent: descriptors, signal handlers, standard input, errors that its handlers see.

local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local mproc = require("mproc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("a child", function()
  leaks.watch()

  local function result_of(options)
    local p <close> = mproc.Process(options):start()
    return p:result(20)
  end

  fork_it("has no descriptors but 0 to 2 and the arena's with close_fds, and mproc works there", function()
    -- files are inherited
    local file <close> = assert(io.open("Makefile"))
    local q, back = mproc.Queue(), mproc.Queue()
    q:fileno() -- mproc's own, in the parent
    q:put("question")
    local function look()
      local count = 0 -- not by a program, beside whose start the system has pipes open
      for name in lfs.dir("/proc/" .. mproc.getpid() .. "/fd") do
        count = count + (tonumber(name) and 1 or 0)
      end
      back:put(q:get(10))
      return count, io.type(file) == "file" and file:read(1), back:fileno() > 2
    end
    local count, byte, has_own = result_of({ target = look, close_fds = true })
    assert.same({ 5, nil, true }, { count, byte, has_own }) -- 0 to 2, the arena's, and that of the list
    assert.equal("question", back:get(10))
    q:put("again")
    assert.equal("#", (select(2, result_of({ target = look }))))
  end)

  it("with close_fds holds no pipe that io.popen made before", function()
    local r = program.text([[
      local mproc = require("mproc")
      local file = io.popen("cat", "w")
      local p = mproc.Process{ target = mproc.sleep, args = { 100 }, close_fds = true, daemon = true }:start()
      file:write("text\n")
      print(file:close())
    ]], { seconds = 20 })
    assert.same({ "text\ntrue\texit\t0\n", 0 }, { r.out, r.code })
  end)

  it("has the default action for each signal that the parent handles, and what is ignored stays ignored", function()
    local r = program.text([[
      local mproc, hostile = require("mproc"), require("hostile")
      for _, number in ipairs({ 1, 3, 10, 12, 14 }) do
        hostile.handle(number)
        local e = mproc.Event()
        local p = mproc.Process(function() e:set() mproc.sleep(10) end):start()
        e:wait(10)
        hostile.kill(p.pid, number)
        p:join()
        print(number, p.exitcode, hostile.told())
      end
      hostile.ignore(1)
      print(mproc.Process(function() hostile.kill(mproc.getpid(), 1) return "lives" end):start():result())
      hostile.kill(mproc.getpid(), 10)
      print(hostile.told())
    ]], { seconds = 20 })
    assert.equal("1\t-1\t0\n3\t-3\t0\n10\t-10\t0\n12\t-12\t0\n14\t-14\t0\nlives\n1\n", r.out, r.err)
  end)

  it("has the file at descriptor 0 of a program that was started without standard input", function()
    local name = os.tmpname()
    local r = program.shell(([[printf '
      local mproc = require("mproc")
      local log = assert(io.open(arg[1], "w"))
      log:setvbuf("no")
      assert(mproc.Process(function() return log:write("child") ~= nil end):start():result())
      log:write(" parent")
    ' >%s.lua; %s %s.lua %s <&-]]):format(name, program.lua, name, name))
    assert.same({ "", 0 }, { r.err, r.code })
    local file <close> = assert(io.open(name))
    assert.equal("child parent", file:read("a"))
    os.remove(name)
    os.remove(name .. ".lua")
  end)

  it("reads nothing when the program has standard input", function()
    local r = program.shell(("echo line | %s -e '%s'"):format(program.lua, [[
      print(require("mproc").Process(function() return io.read("a") end):start():result() == "", io.read())
    ]]))
    assert.equal("true\tline\n", r.out, r.err)
  end)

  it("gives __close handlers the error as it was raised", function()
    local raised = { code = 5 }
    local seen = mproc.Queue()
    local function fail(err)
      local _ <close> = setmetatable({}, { __close = function(_, e)
        seen:put({ type(e), type(e) == "table" and e.code or e, rawequal(e, err) })
      end })
      error(err, 0)
    end
    for _, case in ipairs({ { raised, { "table", 5, true } }, { "disk full", { "string", "disk full", true } } }) do
      local r, w = io.stderr, mproc.Process{ target = fail, args = { case[1] }, name = "failing" }
      assert(r)
      local core = require("mproc.core")
      local write_stderr = core.write_stderr
      core.write_stderr = function() end
      w:start()
      core.write_stderr = write_stderr
      local ok, err = pcall(w.result, w, 20)
      assert.is_false(ok)
      assert.same(case[2], seen:get(10))
      assert.truthy(type(err) == "table" and err.code == 5 or tostring(err):find("^disk full\n"))
      w:close()
    end
  end)

  it("tells the error of a __close handler that raises another", function()
    local r = program.text([[
      local mproc = require("mproc")
      local p = mproc.Process(function()
        local _ <close> = setmetatable({}, { __close = function() error("second", 0) end })
        error("first", 0)
      end):start()
      print(pcall(p.result, p, 20))
    ]], { seconds = 20 })
    assert.truthy(r.out:find("^false\tsecond\n"), r.out)
    assert.truthy(r.err:find("failed: second\n", 1, true), r.err)
  end)

  it("has written all that it wrote when its result is there", function()
    local name = os.tmpname()
    local function write()
      local file = io.open(name, "w")
      FILE = file -- luacheck: ignore 111
      file:write("all of it")
      return true
    end
    local p = mproc.Process(function()
      write()
      mproc.at_exit(function() mproc.sleep(0.3) end)
      return true
    end):start()
    assert.is_true(p:result(20))
    local file <close> = assert(io.open(name))
    assert.equal("all of it", file:read("a"))
    p:join()
    os.remove(name)
  end)
end)
