-- SPDX-License-Identifier: MIT
-- A program started without a standard input, whose first file therefore had descriptor 0: a child put /dev/null there,
-- and what it wrote to the file was lost. mproc's own descriptors came to lie on 0, 1 and 2 as well.

local program = require("spec.support.program")

local function run(text, closed)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local r = program.shell(("exec %s %s %s"):format(program.lua, program.quote(path), closed), 30)
  os.remove(path)
  return r
end

describe("a program without a standard input", function()
  local WRITES = [[
    local mproc = require("mproc")
    local name = os.tmpname()
    local log = assert(io.open(name, "w"))
    log:setvbuf("line")
    log:write("parent\n")
    mproc.Process(function()
      log:write("child\n")
      mproc.Process(function() log:write("grandchild\n") end):start():join()
    end):start():join()
    log:close()
    for line in io.lines(name) do print(line) end
    os.remove(name)
  ]]
  for _, closed in ipairs({ "</dev/null", "<&-" }) do
    it("shares its first file with its children: " .. closed, function()
      local r = run(WRITES, closed)
      assert.are.equal("parent\nchild\ngrandchild\n", r.out, r.err)
    end)
  end

  it("shares a file that it had opened before it loaded mproc", function()
    local text, moved = WRITES:gsub('(local mproc = require%("mproc"%)\n)(.-setvbuf[^\n]*\n)', "%2%1")
    assert.equal(1, moved)
    local r = run(text, "<&-")
    assert.are.equal("parent\nchild\ngrandchild\n", r.out, r.err)
  end)

  it("has no descriptor of mproc's below 3", function()
    local name = os.tmpname()
    local r = run([[
      local mproc, hostile = require("mproc"), require("hostile")
      local queue, event = mproc.Queue(), mproc.Event()
      local process = mproc.Process(function() event:wait(20) end):start()
      local fds = { queue:fileno(), process:fileno() }
      mproc.wait({ queue, process }, 0)
      local found = {}
      for fd = 0, 2 do found[#found + 1] = tostring(hostile.is_open(fd)) end
      for _, fd in ipairs(fds) do found[#found + 1] = tostring(fd > 2) end
      event:set()
      local report = assert(io.open(arg[1], "w"))
      report:write(table.concat(found, " "))
      report:close()
    ]], name .. " <&- >&- 2>&-")
    local file <close> = assert(io.open(name))
    assert.are.equal("false false false true true", file:read("a"), tostring(r.code))
    os.remove(name)
  end)

  it("whose children read a terminal's place as empty", function()
    local r = run([[
      local mproc = require("mproc")
      print(mproc.Process(function() return tostring(io.read("a")) end):start():result())
    ]], "<" .. program.quote("spec/regress/descriptor_0_spec.lua"))
    assert.are.equal("\n", r.out, r.err)
  end)
end)
