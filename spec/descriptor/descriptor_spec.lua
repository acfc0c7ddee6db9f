-- SPDX-License-Identifier: MIT
-- Descriptors: of what they are made, how they travel, what they give, and when a file is closed.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local hostile = require("hostile")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local mproc = require("mproc")
local store = require("spec.support.store")

local SECONDS = 60

local start, finish = children.start, children.finish

describe("a descriptor", function()
  setup(function()
    store.warm()
  end)
  leaks.watch()

  local path, kept
  before_each(function()
    path, kept = os.tmpname(), store.kept()
    local file <close> = assert(io.open(path, "w"))
    file:write("first\nsecond\n")
  end)
  after_each(function()
    os.remove(path)
    collectgarbage()
    collectgarbage()
    store.settle(kept)
  end)

  local function opened(mode)
    return assert(io.open(path, mode))
  end

  local function read_all(d)
    local file <close> = assert(d:file())
    file:seek("set")
    return file:read("a")
  end

  describe("is made", function()
    it("of a Lua file, which stays its maker's", function()
      local file <close> = opened()
      local d <close> = mproc.fd(file)
      assert.equal("first", file:read())
      assert.equal("first\nsecond\n", read_all(d))
    end)

    it("of a number, also one that is a float", function()
      local file <close> = opened()
      local first <close> = mproc.fd(file)
      for _, n in ipairs({ first:fileno(), first:fileno() + 0.0 }) do
        local d <close> = mproc.fd(n)
        assert.not_equal(n, d:fileno())
        assert.equal("first\nsecond\n", read_all(d))
      end
    end)

    it("of what has getfd, fileno or pollfd", function()
      local file <close> = opened()
      local first <close> = mproc.fd(file)
      local n = first:fileno()
      for _, name in ipairs({ "getfd", "fileno", "pollfd" }) do
        local d <close> = mproc.fd({ [name] = function() return n end })
        assert.equal("first\nsecond\n", read_all(d))
      end
      local by_field <close> = mproc.fd({ pollfd = n })
      local of_itself <close> = mproc.fd(first)
      assert.equal(read_all(by_field), read_all(of_itself))
    end)

    it("at once: what was buffered is in the file, and closing it takes nothing away", function()
      local file = opened("w")
      file:write("third")
      local d <close> = mproc.fd(file)
      file:close()
      local reader <close> = opened()
      assert.equal("third", reader:read("a"))
      local writer <close> = assert(d:file())
      writer:write(" and fourth")
      writer:flush()
      assert.equal(" and fourth", reader:read("a"))
    end)

    it("of nothing else, and says of what", function()
      for _, bad in ipairs({ "x", -1, 1.5, {}, print, true }) do
        blame.caller(function() mproc.fd(bad) end, "fd takes a descriptor's number, a Lua file, or an object", "got")
      end
      blame.caller(function() mproc.fd() end, "fd takes", "nil")
      local closed = opened()
      closed:close()
      blame.caller(function() mproc.fd(closed) end, "the file is closed")
      blame.caller(function() mproc.fd({ getfd = function() return -1 end }) end, "getfd gave -1", "is it closed?")
    end)

    it("of an open file only", function()
      local d, message, name = mproc.fd(30000)
      assert.is_nil(d)
      assert.equal("EBADF", name)
      assert.truthy(message)
    end)
  end)

  describe("travels", function()
    -- What a process that runs already, and has not inherited the file, reads of it.
    local function through(carry)
      local ready, go = mproc.Event(), mproc.Queue()
      local p = start(function()
        ready:set()
        local d <close> = go:get(SECONDS).d
        return read_all(d)
      end)
      assert.is_true(ready:wait(SECONDS))
      local file <close> = opened()
      local d <close> = mproc.fd(file)
      carry(go, d)
      assert.equal("first\nsecond\n", children.results(p))
    end

    it("to a process that runs already", function()
      through(function(q, d) q:put({ d = d }) end)
    end)

    it("and is closed by its sender meanwhile", function()
      through(function(q, d)
        q:put({ d = d })
        d:close()
      end)
    end)

    it("twice in a message, as one", function()
      local q <close> = mproc.Queue()
      local file <close> = opened()
      local d <close> = mproc.fd(file)
      q:put({ d, d })
      local got = q:get()
      assert.is_true(rawequal(got[1], got[2]))
      got[1]:close()
      assert.equal("first\nsecond\n", read_all(d))
    end)

    it("as an argument, and a child's copy is the inherited one", function()
      local file <close> = opened()
      local d = mproc.fd(file)
      local p = start(function(mine)
        mine:close()
        assert(tostring(d):find("closed"))
      end, d)
      finish(p)
      assert.equal("first\nsecond\n", read_all(d))
      d:close()
    end)

    it("as an upvalue that is inherited, and into a child without its parent's files", function()
      local file <close> = opened()
      local d <close> = mproc.fd(file)
      d:fileno()
      for _, close_fds in ipairs({ false, true }) do
        local p = mproc.Process({ target = function() return read_all(d) end, close_fds = close_fds }):start()
        assert.equal("first\nsecond\n", children.results(p))
      end
    end)

    it("to a pool's worker, and back", function()
      local pool <close> = mproc.Pool(2)
      local file <close> = opened()
      local d <close> = mproc.fd(file)
      assert.equal("first\nsecond\n", pool:apply(read_all, { d }))
      local back <close> = pool:apply(function(name) return mproc.fd(assert(io.open(name))) end, { path })
      assert.equal("first\nsecond\n", read_all(back))
    end)

    it("as a value of a Dict, and through a pipe", function()
      local a <close>, b = mproc.Pipe()
      local file <close> = opened()
      local dict <close> = mproc.Dict()
      do
        local d <close> = mproc.fd(file)
        dict.log = d
        a:send(d)
      end
      local one <close> = dict.log
      local two <close> = b:recv()
      assert.equal(read_all(one), read_all(two))
      dict.log = nil
      b:close()
    end)

    it("and outlives its sender", function()
      local q <close> = mproc.Queue()
      for _, killed in ipairs({ false, true }) do
        local p = start(function()
          q:put(mproc.fd(assert(io.open(path))))
          if killed then
            require("mproc").sleep(SECONDS)
          end
        end)
        local d <close> = q:get(SECONDS)
        if killed then
          children.kill(p)
        else
          finish(p)
        end
        assert.equal("first\nsecond\n", read_all(d))
      end
    end)

    it("not when it is closed", function()
      local q <close> = mproc.Queue()
      local d = mproc.fd(0)
      d:close()
      blame.caller(function() q:put({ d }) end, "cannot send value[1]", "the descriptor is closed")
    end)
  end)

  describe("gives", function()
    it("a number, the same each time, that is not inherited by programs", function()
      local d <close> = mproc.fd(0)
      local n = d:fileno()
      assert.equal("integer", math.type(n))
      assert.equal(n, d:fileno())
      assert.is_not_nil(lfs.attributes("/proc/self/fd/" .. n))
      assert.is_not_true(os.execute("test -e /proc/self/fd/" .. n))
    end)

    it("a number of the caller's own", function()
      local file <close> = opened()
      local d = mproc.fd(file)
      local n = d:detach()
      assert.equal("Descriptor: closed", tostring(d))
      local again <close> = mproc.fd(n)
      assert.equal("first\nsecond\n", read_all(again))
      local owner <close> = again:file()
      assert.equal(0, hostile.close(n))
      owner:seek("set")
      assert.equal("first", owner:read())
    end)

    it("files of the mode that was asked for, or of the descriptor's own", function()
      local file <close> = opened("a")
      local d <close> = mproc.fd(file)
      for _, mode in ipairs({ false, "a" }) do
        local appender <close> = assert(d:file(mode or nil))
        assert.equal("file", io.type(appender))
        appender:write("more\n")
      end
      local reader <close> = opened()
      assert.equal("first\nsecond\nmore\nmore\n", reader:read("a"))
    end)

    it("files that outlive it, and it outlives them", function()
      local file <close> = opened()
      local d = mproc.fd(file)
      d:file():close()
      local last <close> = d:file()
      d:close()
      assert.equal("first", last:read())
    end)

    it("no file of a mode that the descriptor has not, nor of one that is none", function()
      local file <close> = opened("r")
      local d <close> = mproc.fd(file)
      local none, message, name = d:file("w")
      assert.is_nil(none)
      assert.equal("EINVAL", name)
      assert.truthy(message)
      blame.caller(function() d:file("x") end, "mode must be one of io.open", '"x"')
    end)

    it("nothing once it is closed", function()
      local d = mproc.fd(0)
      d:close()
      d:close()
      for _, name in ipairs({ "fileno", "detach", "file" }) do
        blame.caller(function() d[name](d) end, "the descriptor is closed")
      end
      blame.caller(function() d.fileno(0) end, "descriptor expected", "colon")
    end)
  end)

  describe("lets go of its file", function()
    it("when it is closed by the last one who has it, wherever", function()
      local q <close> = mproc.Queue()
      local d = mproc.fd(0)
      assert.equal(kept + 1, store.kept())
      q:put(d)
      d:close()
      assert.equal(kept + 1, store.kept())
      local p = start(function()
        local last <close> = q:get(SECONDS)
        last:fileno()
      end)
      finish(p)
      store.settle(kept)
    end)

    it("when it is collected, and when the queue goes that carries it", function()
      local q = mproc.Queue()
      for _ = 1, 100 do
        q:put(mproc.fd(0))
      end
      leaks.collect()
      assert.equal(kept + 100, store.kept())
      q = nil -- luacheck: ignore
      leaks.collect()
      store.settle(kept)
    end)

    it("when the process is killed that had it", function()
      local p = children.parked(function() return mproc.fd(0) end)
      assert.equal(kept + 1, store.kept())
      children.kill(p)
      store.settle(kept)
    end)

    it("so that the other side of a socket learns of the end at once", function()
      local there, socket = pcall(require, "socket")
      if not there then
        pending("needs lua-socket")
        return
      end
      local listener = assert(socket.bind("127.0.0.1", 0))
      local pool <close> = mproc.Pool(1)
      local client = assert(socket.tcp())
      assert(client:connect(listener:getsockname()))
      local server = listener:accept()
      local d = mproc.fd(server)
      server:close()
      local future = pool:submit(function(got)
        local mine <close> = got:file("w")
        mine:write("good bye\n")
        got:close()
      end, d)
      d:close()
      client:settimeout(SECONDS)
      assert.equal("good bye", client:receive())
      local began = mproc.time()
      assert.same({ nil, "closed", "" }, { client:receive() })
      assert.is_true(mproc.time() - began < 5)
      future:get(SECONDS)
      client:close()
      listener:close()
    end)
  end)

  it("is named where a file or a socket is sent bare", function()
    local q <close> = mproc.Queue()
    blame.caller(function() q:put({ log = io.stdout }) end, "cannot send value.log", "mproc.fd(file)")
    local there, socket = pcall(require, "socket")
    if there then
      local s = socket.tcp()
      blame.caller(function() q:put(s) end, "cannot send value", "belongs to one process", "mproc.fd(x)")
      s:close()
    end
  end)
end)
