-- SPDX-License-Identifier: MIT
-- Sessions: commands, replies, losses, reconnects.
local mproc = require "mproc"
local server = require "redis.spec.support.server"
local session = require "mproc.far.redis.session"
local url = require "mproc.far.redis.url"

if not server.there() then
  pending("sessions: skipped, there is no redis-server here")
  return
end

-- Steps until the condition holds.
local function await(sessions, condition)
  local deadline = mproc.time() + 10
  while not condition() do
    assert(mproc.time() < deadline, "it has not come to that in time")
    session.wait(sessions, {}, 0.05)
    for _, s in ipairs(sessions) do
      s:step()
    end
  end
end

describe("a session", function()
  local s, one
  setup(function() s = server.start() end)
  teardown(function() s:stop() end)
  before_each(function() one = s:session() end)
  after_each(function() one:close() end)

  it("gives replies to their commands in order, and errors with their kind", function()
    local got = {}
    local function note(...)
      got[#got + 1] = { ... }
    end
    assert.is_false(one:send(note, "PING"))
    assert.equal("PONG", one:call(5, "PING"))
    one:send(note, "ECHO", "a")
    one:send(nil, "SET", "x", 1)
    one:send(note, "INCR", "x")
    one:send(note, "GET", "nothing")
    one:send(note, "LPUSH", "x", "1")
    one:send(note, "COMMAND", "GETKEYS", "GET", "k")
    await({ one }, function() return one.waiting == 0 end)
    assert.same({ "a" }, got[1])
    assert.same({ 2 }, got[2])
    assert.same({ false }, got[3])
    assert.same({ nil, got[4][2], "error" }, got[4])
    assert.truthy(got[4][2]:find("^WRONGTYPE"))
    assert.same({ { "k" } }, got[5])
  end)

  it("carries what does not fit into a socket at once", function()
    local big = ("x"):rep(20 << 20)
    assert.equal("OK", one:call(20, "SET", "big", big))
    assert.equal(big, one:call(20, "GET", "big"))
  end)

  it("goes on after a callback that raises, whose place is free", function()
    one:call(5, "PING")
    local got
    one:send(function() error("mine", 0) end, "PING")
    one:send(function(reply) got = reply end, "ECHO", "next")
    local ok, message
    local deadline = mproc.time() + 5
    repeat
      session.wait({ one }, {}, 0.05)
      ok, message = pcall(one.step, one)
    until not ok or mproc.time() > deadline
    assert.equal("mine", message)
    await({ one }, function() return one.waiting == 0 end)
    assert.equal("next", got)
  end)

  it("tells what waits when the connection is lost, and connects again", function()
    local downs, ups, told = 0, 0, nil
    local two = s:session { on_up = function() ups = ups + 1 end, on_down = function() downs = downs + 1 end }
    two:call(5, "PING")
    two:send(function(_, _, kind) told = kind end, "BLPOP", "none", 0)
    s:call("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
    await({ two }, function() return downs == 1 and told end)
    assert.equal("disconnected", told)
    await({ two }, function() return two.up end)
    assert.equal(2, ups)
    assert.equal("PONG", two:call(5, "PING"))
    two:close()
  end)

  it("gives a server up that does not answer", function()
    local down
    local two = s:session { answer_within = 0.2, on_down = function(_, text) down = text end }
    two:call(5, "PING")
    local began = mproc.time()
    two:send(nil, "BLPOP", "none", 0)
    await({ two }, function() return down end)
    assert.truthy(down:find("has not answered for 0.2 s", 1, true))
    assert.is_true(mproc.time() - began < 4)
    two:close()
  end)

  it("tells all that waited, though one of them raised when the connection was lost", function()
    one:call(5, "PING")
    local told = 0
    one:send(function() error("mine", 0) end, "BLPOP", "none", 0)
    one:send(function(_, _, kind) told = told + (kind == "disconnected" and 1 or 0) end, "ECHO", "never")
    one:flush()
    s:call("CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
    local deadline = mproc.time() + 10
    repeat
      session.wait({ one }, {}, 0.02)
      pcall(one.step, one)
    until one.up and told == 1 or mproc.time() > deadline
    assert.equal(1, told)
    assert.equal("still", one:call(5, "ECHO", "still"))
  end)

  it("gives a server time that takes a long message slowly", function()
    local unix = require "socket.unix"
    local path = os.tmpname()
    os.remove(path)
    local listener = assert(unix())
    assert(listener:bind(path))
    assert(listener:listen(1))
    local p = mproc.Process { daemon = true, target = function()
      local client = listener:accept()
      local began, got, size = mproc.time(), 0, 16 << 20
      while got < size do
        local bytes, _, partly = client:receive(mproc.time() - began < 2.5 and 65536 or 1 << 20)
        got = got + #(bytes or partly)
        mproc.sleep(mproc.time() - began < 2.5 and 0.03 or 0)
        client:settimeout(0.01)
      end
      client:send("+taken\r\n")
      mproc.sleep(10)
    end }
    p:start()
    local two = session.new(assert(url.parse("redis+unix://" .. path)), { answer_within = 1 })
    assert.equal("taken", two:call(30, "SET", "x", ("x"):rep(16 << 20)))
    two:close()
    p:kill()
    p:join()
    p:close()
    listener:close()
    os.remove(path)
  end)

  it("knows scripts again that the server has forgotten", function()
    local two = s:session { scripts = { "cancel" } }
    local got = {}
    two:call(5, "XGROUP", "CREATE", "t", "w", "0", "MKSTREAM")
    s:call("SCRIPT", "FLUSH")
    two:script(function(...) got = { ... } end, "cancel", { "t" }, { "1-0" })
    await({ two }, function() return got[1] end)
    assert.same({ -1 }, got)
    two:close()
  end)

  it("takes a server that is loading for one that is away", function()
    local down
    local two = s:session { on_down = function(_, text, kind) down = { text, kind } end }
    two:call(5, "PING")
    s:call("CONFIG", "SET", "min-replicas-to-write", 0)
    two:send(nil, "EVAL", "return redis.error_reply('LOADING it is')", 0)
    await({ two }, function() return down end)
    assert.same({ "LOADING it is", "disconnected" }, down)
    two:close()
  end)
end)

describe("a session without a server", function()
  it("waits between its tries, longer and longer, and says why", function()
    local downs = 0
    local one = session.new(url.parse(("redis://127.0.0.1:%d"):format(server.free_port())), {
      on_down = function() downs = downs + 1 end,
    })
    local reply, text, kind = one:call(0.7, "PING")
    assert.same({ nil, "disconnected" }, { reply, kind })
    assert.truthy(text:find("refused", 1, true))
    assert.is_true(one.failures >= 2 and one.failures <= 7)
    assert.equal(1, downs)
    one:close()
  end)

  it("does not take itself for the server", function()
    local socket = require "socket"
    local own = assert(socket.tcp4())
    assert(own:bind("127.0.0.1", 0))
    local _, port = own:getsockname()
    assert(own:connect("127.0.0.1", port)) -- as the system may let it
    local sock_connect = { tcp = socket.tcp }
    socket.tcp = function()
      return setmetatable({ connect = function() return true end }, { __index = function(_, name)
        return function(_, ...) return own[name](own, ...) end
      end })
    end
    local one = session.new(url.parse(("redis://127.0.0.1:%d"):format(port)))
    local up, text, kind = one:try()
    socket.tcp = sock_connect.tcp
    one:close()
    own:close()
    assert.same({ nil, "disconnected" }, { up, kind })
    assert.truthy(text:find("connection refused", 1, true))
  end)

  it("is refused with a wrong password, at once", function()
    local s = server.start { "--requirepass", "secret", url = "redis://:wrong@127.0.0.1:%d" }
    local began = mproc.time()
    local one = session.new(url.parse(s.url))
    local reply, text, kind = one:call(5, "PING")
    assert.same({ nil, "refused" }, { reply, kind })
    assert.truthy(text:find("^WRONGPASS"))
    assert.is_true(mproc.time() - began < 4)
    one:close()
    s:stop()
  end)
end)
