-- SPDX-License-Identifier: MIT
-- mproc.SharedMemory: bytes that processes share, with a name or without, and views of them as numbers.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local names = 0

-- A name that nobody else has, and that leaks.watch would find.
local function new_name()
  names = names + 1
  return ("mproc_spec_%d_%d"):format(require("mproc").getpid(), names)
end

local function exists(name)
  local file = io.open("/dev/shm/" .. name)
  return file ~= nil and file:close()
end

describe("shared memory without a name", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("is bytes, read and written by position", function()
    local m <close> = mproc.SharedMemory({ size = 1000 })
    assert.equal(1000, #m)
    assert.equal(1000, m.size)
    assert.is_nil(m.name)
    assert.equal(("\0"):rep(1000), m:read())
    m:write(1, "hello")
    m:write(996, "world")
    assert.equal("hello", m:read(1, 5))
    assert.equal("world", m:read(-5))
    assert.equal("ell", m:read(2, 4))
    assert.equal("", m:read(5, 4))
    assert.equal("world", m:read(996, 2000))
    m:write(1001, "")
    assert.truthy(tostring(m):find("^SharedMemory %d+: 1000 bytes$"))
  end)

  it("is one memory for all that it was sent to", function()
    local m <close> = mproc.SharedMemory({ size = 1 << 20 })
    children.finish(children.start(function(other) other:write(1, "sent") end, m))
    children.finish(children.start(function() m:write(5, " inherited") end))
    local q <close> = mproc.Queue()
    q:put({ m })
    q:get()[1]:write(15, " queued")
    local pool <close> = mproc.Pool(2)
    pool:map(function(i) m:write(100 + i, "x") end, { 1, 2, 3 })
    assert.equal("sent inherited queued", m:read(1, 21))
    assert.equal("xxx", m:read(101, 103))
  end)

  it("goes with its last holder, killed or not", function()
    local m = mproc.SharedMemory({ size = 10 << 20 })
    m:view("uint8"):fill(1)
    local p = children.parked(function(other) return other, other:view("double") end, m)
    m:close()
    children.kill(p)
    children.finish(children.start(function() return mproc.SharedMemory({ size = 10 << 20 }):write(1, "x") end))
    assert.equal("SharedMemory: closed", tostring(m))
  end)

  it("raises once it is closed, but for another close", function()
    local m = mproc.SharedMemory({ size = 10 })
    local v = m:view("uint8")
    m:close()
    m:close()
    blame.caller(function() m:read() end, "the shared memory has been closed")
    blame.caller(function() m:write(1, "x") end, "has been closed")
    blame.caller(function() return #m end, "has been closed")
    blame.caller(function() m:view("int8") end, "has been closed")
    blame.caller(function() return v[1] end, "the shared memory of this view has been closed")
    blame.caller(function() v[1] = 1 end, "has been closed")
    blame.caller(function() v:sub() end, "has been closed")
    local q <close> = mproc.Queue()
    blame.caller(function() q:put({ a = m }) end, "cannot send value.a", "closed")
    blame.caller(function() q:put({ a = v }) end, "cannot send value.a", "closed")
    assert.equal("View: closed", tostring(v))
  end)

  it("says what is wrong with its arguments", function()
    local m <close> = mproc.SharedMemory({ size = 10 })
    blame.caller(function() m:write(0, "x") end, "i: 1 bytes from 0 on do not fit into 10")
    blame.caller(function() m:write(11, "x") end, "do not fit")
    blame.caller(function() m:write(math.maxinteger, "x") end, "do not fit")
    blame.caller(function() m:write(math.mininteger, "x") end, "do not fit")
    blame.caller(function() m:write(1, 5) end, "s must be a string")
    blame.caller(function() m:write("1", "x") end, "i must be an integer")
    blame.caller(function() m:read(1.5) end, "i must be an integer, got 1.5")
    blame.caller(function() m:unlink() end, "has no name")
    blame.caller(function() m.read() end, "with a colon")
    blame.caller(function() m.size = 5 end, "")
    assert.equal(10, m.size)
    blame.caller(function() mproc.SharedMemory() end, "takes options")
    blame.caller(function() mproc.SharedMemory("name") end, "takes options")
    blame.caller(function() mproc.SharedMemory({}) end, "needs a size")
    blame.caller(function() mproc.SharedMemory({ create = false, size = 1 }) end, "needs a name")
    blame.caller(function() mproc.SharedMemory({ size = 1.5 }) end, "size must be a number of bytes, got 1.5")
    blame.caller(function() mproc.SharedMemory({ size = -1 }) end, "size must be")
    blame.caller(function() mproc.SharedMemory({ size = 1, nmae = "x" }) end, "did you mean 'name'")
    blame.caller(function() mproc.SharedMemory({ size = 1, name = 5 }) end, "name must be a string")
    blame.caller(function() mproc.SharedMemory({ size = 1, create = 1 }) end, "create must be true or false")
    blame.caller(function() mproc.SharedMemory({ size = 1, unlink = true }) end, "who creates")
    local none, message, code = mproc.SharedMemory({ size = 0 })
    assert.same({ nil, "EINVAL" }, { none, code })
    assert.truthy(message:find("0 bytes"))
    assert.equal("ENOMEM", select(3, mproc.SharedMemory({ size = 1 << 60 })))
  end)
end)

describe("a view of shared memory", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("has what an Array has", function()
    local m <close> = mproc.SharedMemory({ size = 64 })
    local v = m:view("int32", 5, 10)
    assert.equal(10, #v)
    for i = 1, 10 do
      v[i] = i
    end
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, v:totable())
    assert.same({ 2, 3 }, v:sub(2, 3))
    assert.is_nil(v[11])
    assert.is_nil(v[0])
    assert.equal(11, v:add(10, 1))
    assert.equal(11, v:exchange(10, 12))
    assert.is_true(v:compare_exchange(10, 12, 13))
    v:set(1, { 7, 8 })
    assert.equal("\7\0\0\0\8", m:read(5, 9))
    local sum = 0
    for _, x in ipairs(v) do
      sum = sum + x
    end
    assert.equal(7 + 8 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 13, sum)
    v:fill(-1)
    assert.equal("\0\0\0\0" .. ("\xff"):rep(40) .. ("\0"):rep(20), m:read())
    blame.caller(function() v[11] = 1 end, "index must be 1 to 10")
    blame.caller(function() v[1] = 1 << 40 end, "for \"int32\"")
    blame.caller(function() v:set(10, { 1, 2 }) end, "do not fit")
    blame.caller(function() v:lock() end, "a view has no lock")
    assert.equal("View: 10 of int32", tostring(v))
    local bytes = m:view("uint8", 1, 4)
    bytes:set_bytes(1, "abcd")
    assert.equal("bc", bytes:bytes(2, 3))
  end)

  it("is of any type, from any aligned place, as long as there is room", function()
    local m <close> = mproc.SharedMemory({ size = 64 })
    for _, case in ipairs({ { "boolean", 1 }, { "int8", 1 }, { "int16", 2 }, { "uint32", 4 }, { "uint64", 8 },
      { "integer", 8 }, { "number", 8 }, { "float", 4 }, { "double", 8 } }) do
      local kind, size = case[1], case[2]
      assert.equal(64 // size, #m:view(kind))
      assert.equal(64 // size - 1, #m:view(kind, 1 + size))
      assert.equal(0, #m:view(kind, 1, 0))
      assert.equal(1, #m:view(kind, 65 - size))
      blame.caller(function() m:view(kind, 1, 64 // size + 1) end, "count must be 0 to " .. 64 // size)
      if size > 1 then
        blame.caller(function() m:view(kind, 2) end, ("1 more than a multiple of %d"):format(size))
      end
    end
    m:write(1, ("\xee"):rep(64))
    for _, kind in ipairs({ "boolean", "number", "uint64", "float" }) do
      assert.is_not_nil(m:view(kind)[1])
    end
    blame.caller(function() m:view("double", 0) end, "first must be 1 to 64")
    blame.caller(function() m:view("double", 65) end, "first must be 1 to 64")
    blame.caller(function() m:view("double", math.mininteger + 8) end, "first must be 1 to 64")
    blame.caller(function() m:view("int8", 1, math.maxinteger) end, "count must be")
    blame.caller(function() m:view("d") end, "write \"double\"")
    blame.caller(function() m:view() end, "type must be one of")
  end)

  it("keeps its memory, and travels with it", function()
    local v = mproc.SharedMemory({ size = 64 }):view("integer", 9, 3)
    leaks.collect()
    v[2] = 42
    local q <close> = mproc.Queue()
    q:put({ v, v })
    local got = q:get()
    assert.equal(3, #got[1])
    got[1]:add(2, 1)
    assert.equal(43, v[2])
    assert.equal(43, children.results(children.start(function(view) return view[2] end, v)))
  end)

  it("is one counter for all: no addition is lost", function()
    local m <close> = mproc.SharedMemory({ size = 64 })
    local v = m:view("int16", 3)
    children.four(function()
      for _ = 1, 1000 do
        v:add(1, 1)
      end
    end)
    assert.equal(4000, v[1])
    assert.equal(0, v[2])
  end)

  it("touches nothing that user code has closed in the middle of a call", function()
    local m = mproc.SharedMemory({ size = 64 })
    local v = m:view("uint8")
    local by_length = setmetatable({}, { __len = function() m:close() return 3 end,
      __index = function(_, k) return k ~= "n" and 1 or nil end })
    blame.caller(function() v:set(1, by_length) end, "has been closed")
    m = mproc.SharedMemory({ size = 64 })
    v = m:view("uint8")
    local by_item = setmetatable({}, { __len = function() return 3 end, __index = function(_, k)
      if k == 2 then
        m:close()
      end
      return k ~= "n" and 1 or nil
    end })
    blame.caller(function() v:set(1, by_item) end, "has been closed")
  end)

  it("touches nothing that a finalizer has closed in the middle of a call", function()
    local named = mproc.SharedMemory({ name = new_name(), size = 1 << 20, create = true, unlink = true })
    local v = named:view("uint8")
    local reading, closed_meanwhile = false, false
    local mt = { __gc = function() closed_meanwhile = reading named:close() end }
    local totable = v.totable
    collectgarbage("generational") -- a young collection is one step, which the first allocation makes
    collectgarbage("stop")
    setmetatable({}, mt)
    reading = true
    collectgarbage("restart")
    local ok, message = pcall(totable, v)
    collectgarbage("incremental")
    assert.is_true(closed_meanwhile)
    assert.is_false(ok)
    assert.truthy(message:find("has been closed", 1, true), message)
  end)
end)

describe("shared memory with a name", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("is found by its name, and stays until it is unlinked", function()
    local name = new_name()
    local m = assert(mproc.SharedMemory({ name = name, size = 1000, create = true }))
    assert.equal(name, m.name)
    assert.equal(1000, #m)
    assert.equal(("\0"):rep(1000), m:read())
    m:write(1, "hello")
    local other <close> = assert(mproc.SharedMemory({ name = name }))
    assert.equal("hello", other:read(1, 5))
    assert.is_true(m == other)
    assert.equal(("SharedMemory '%s': 1000 bytes"):format(name), tostring(m))
    local v = other:view("double", 9)
    v[1] = 0.5
    assert.equal(0.5, m:view("double")[2])
    m:close()
    assert.is_true(exists(name))
    assert.equal(0.5, v[1])
    assert.is_true(m:unlink())
    assert.is_false(exists(name))
    assert.equal("ENOENT", select(3, other:unlink()))
    assert.equal("hello", other:read(1, 5))
    assert.equal("ENOENT", select(3, mproc.SharedMemory({ name = name })))
  end)

  it("is refused where the name is taken, wrong, or names something else", function()
    local name = new_name()
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 10, create = true }))
    local function code(options)
      local none, message, why = mproc.SharedMemory(options)
      assert.is_nil(none)
      assert.equal("string", type(message))
      return why
    end
    assert.equal("EEXIST", code({ name = name, size = 10, create = true }))
    assert.equal("EINVAL", code({ name = name, size = 11 }))
    assert.equal(10, #assert(mproc.SharedMemory({ name = name, size = 10 })))
    for _, bad in ipairs({ "a/b", "/a", "", ".", "..", "a\0b" }) do
      assert.equal("EINVAL", code({ name = bad }))
      assert.equal("EINVAL", code({ name = bad, size = 10, create = true }))
    end
    assert.equal("ENAMETOOLONG", code({ name = ("x"):rep(251), size = 10, create = true }))
    assert.equal("EINVAL", code({ name = name .. "0", size = 0, create = true }))
    assert.equal("ENOENT", code({ name = name .. "0" }))
    assert(io.open("/dev/shm/" .. name .. "0", "w")):close()
    assert.equal("EINVAL", code({ name = name .. "0" }))
    assert(os.remove("/dev/shm/" .. name .. "0"))
    assert.equal("EEXIST", code({ name = name, size = 10, create = true }))
    assert(os.execute(("ln -s /etc/passwd /dev/shm/%s0 && mkfifo /dev/shm/%s1"):format(name, name)))
    assert.equal("ELOOP", code({ name = name .. "0" }))
    assert.equal("EEXIST", code({ name = name .. "0", size = 10, create = true }))
    assert.equal("EINVAL", code({ name = name .. "1" }))
    assert(os.execute(("rm /dev/shm/%s0 /dev/shm/%s1"):format(name, name)))
    assert.is_true(m:unlink())
  end)

  it("takes its room at once, and says when there is none", function()
    local file <close> = assert(io.popen("df -B1 --output=size,used /dev/shm"))
    local size = tonumber(file:read("a"):match("(%d+)%s+%d+%s*$"))
    if not size or size == 0 or size > 1 << 40 then
      return pending("skipped: /dev/shm has no limit here")
    end
    local name = new_name()
    local none, message, code = mproc.SharedMemory({ name = name, size = size + 4096, create = true })
    local narrow = string.packsize("T") < 8 -- addresses of 32 bits
    local reason = narrow and size >= 1 << 31 and "EFBIG" or "ENOSPC"
    assert.same({ nil, reason }, { none, code })
    assert.truthy(message:find(name, 1, true))
    assert.is_false(exists(name))
    local far = select(3, mproc.SharedMemory({ name = name, size = 1 << 62, create = true }))
    assert.equal(narrow and "EFBIG" or "ENOSPC", far)
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 3 << 20, create = true, unlink = true }))
    local blocks <close> = assert(io.popen("stat -c %b /dev/shm/" .. m.name))
    assert.equal(3 << 20, 512 * blocks:read("n"))
    local much = narrow and 1 << 30 or 1 << 40
    local sparse <close> = assert(mproc.SharedMemory({ name = name .. "s", size = much, create = true,
      sparse = true, unlink = true }))
    assert.equal("\0", sparse:read(-1))
  end)

  it("belongs to nobody who attaches: it outlives all of them", function()
    local name = new_name()
    children.finish(children.start(function()
      mproc.SharedMemory({ name = name, size = 10, create = true }):write(1, "made there")
    end))
    children.kill(children.parked(function() return mproc.SharedMemory({ name = name }) end))
    local result = program.text(("local m = require('mproc').SharedMemory({ name = %q }) print(m:read())"):format(name))
    assert.equal("made there\n", result.out, result.err)
    local m <close> = assert(mproc.SharedMemory({ name = name }))
    assert.equal("made there", m:read())
    assert.is_true(m:unlink())
  end)

  it("goes with its maker where that was asked for, but not with a child that inherited it", function()
    local name = new_name()
    local m = assert(mproc.SharedMemory({ name = name, size = 10, create = true, unlink = true }))
    children.finish(children.start(function() m:close() end))
    children.finish(children.start(function() return mproc.SharedMemory({ name = name }) end))
    assert.is_true(exists(name))
    m:close()
    assert.is_false(exists(name))
    children.finish(children.start(function()
      _ENV.kept = mproc.SharedMemory({ name = name, size = 10, create = true, unlink = true })
    end))
    assert.is_false(exists(name))
    for _, last in ipairs({ "", "os.exit(0)", "error('x')", "os.exit(3, true)" }) do
      program.text(([[
        kept = assert(require("mproc").SharedMemory({ name = %q, size = 10, create = true, unlink = true }))
        %s
      ]]):format(name, last))
      assert.is_false(exists(name), last)
    end
    m = assert(mproc.SharedMemory({ name = name, size = 10, create = true, unlink = true }))
    assert.is_true(m:unlink())
    local successor <close> = assert(mproc.SharedMemory({ name = name, size = 20, create = true }))
    m:close()
    assert.is_true(exists(name))
    assert.is_true(successor:unlink())
  end)

  it("travels by its name, and is never mistaken for another of that name", function()
    local name = new_name()
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 100, create = true }))
    m:write(1, "hello")
    local q <close> = mproc.Queue()
    q:put({ m, m:view("uint8", 2, 3) })
    local got = q:get()
    assert.is_true(got[1] == m)
    assert.equal("ell", got[2]:bytes())
    assert.equal("hello", children.results(children.start(function(other) return other:read(1, 5) end, m)))
    q:put(m)
    assert.is_true(m:unlink())
    local ok, message = pcall(q.get, q)
    assert.is_false(ok)
    assert.truthy(message:find("unlinked on the way", 1, true), message)
    blame.caller(function() q:put({ a = m }) end, "cannot send value.a: the shared memory has been unlinked")
    local successor <close> = assert(mproc.SharedMemory({ name = name, size = 100, create = true }))
    assert.is_false(m == successor)
    blame.caller(function() q:put(m) end, "has been unlinked")
    assert.equal("ENOENT", select(3, m:unlink()))
    assert.is_true(successor:unlink())
    assert.equal("hello", m:read(1, 5))
  end)

  it("is no memory to those who decode bytes from anywhere", function()
    local name = new_name()
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 100, create = true, unlink = true }))
    local value = mproc.decode(mproc.encode({ m }))
    assert.is_not.equal("userdata", type(type(value) == "table" and value[1]))
  end)

  fork_it("that another program cuts short kills who reads behind the cut, and nobody else", function()
    -- a mapping is inherited; what is sent is attached anew
    local name = new_name()
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 1 << 16, create = true, unlink = true }))
    assert(os.execute("truncate -s 4096 /dev/shm/" .. name))
    local signal = os.getenv("ASAN_LUA") and -6 or -7 -- ASan tells of a SIGBUS, and aborts
    assert.equal(signal, children.reap(children.start(function() return m:read(60000, 60001) end)))
    assert.equal("\0", m:read(4096, 4096))
  end)
end)

describe("shared memory and Python", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local has_python = program.shell("python3 -c 'from multiprocessing import shared_memory'").code == 0

  -- Up to 3.12 Python unlinks what it has attached to at its end, unless its tracker forgets it.
  local function python(source)
    local result = program.shell("python3 -c " .. program.quote([[
from multiprocessing import shared_memory, resource_tracker
import sys
def forget(m): resource_tracker.unregister(m._name, 'shared_memory')
]] .. source))
    assert.equal(0, result.code, result.err)
    return result.out
  end

  it("know each other's names: Python attaches to ours", function()
    if not has_python then
      return pending("skipped: there is no python3 here")
    end
    local name = new_name()
    local m <close> = assert(mproc.SharedMemory({ name = name, size = 64, create = true, unlink = true }))
    m:write(1, "from Lua")
    m:view("double", 9)[1] = 0.25
    local out = python(([[
m = shared_memory.SharedMemory(name=%q)
forget(m)
numbers = m.buf[8:16].cast('d')
print(m.size, bytes(m.buf[:8]).decode(), numbers[0])
m.buf[16:27] = b'from Python'
numbers[0] = 0.75
numbers.release()
m.close()
]]):format(name))
    assert.equal("64 from Lua 0.25\n", out)
    assert.equal("from Python", m:read(17, 27))
    assert.equal(0.75, m:view("double", 9)[1])
    assert.is_true(exists(name))
  end)

  it("know each other's names: we attach to Python's, and never own it", function()
    if not has_python then
      return pending("skipped: there is no python3 here")
    end
    local name = new_name()
    local out = python(([[
import subprocess
m = shared_memory.SharedMemory(name=%q, create=True, size=100)
m.buf[:5] = b'hello'
print(subprocess.run(sys.argv[1:] or %q, shell=True, capture_output=True, text=True).stdout.strip())
other = shared_memory.SharedMemory(name=%q)
print(bytes(m.buf[5:11]).decode(), other.size)
other.close()
m.close()
m.unlink()
]]):format(name, ("%s -e %s"):format(program.lua, program.quote(([[
      local m <close> = assert(require("mproc").SharedMemory({ name = %q }))
      m:write(6, " world") print(#m, m:read(1, 11))
    ]]):format(name):gsub("\n", " "):gsub('"', "'"):gsub("'", [["]]))), name))
    assert.equal("100\thello world\n world 100\n", out)
  end)
end)
