-- SPDX-License-Identifier: MIT
-- Peers that are slow, silent, lying or flooding, or killed at each byte of a frame: nobody hangs, no memory is taken
-- for what a head merely claims, and the others are served.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local smaps = require("spec.support.smaps")

local SECONDS = 60
local there, socket = pcall(require, "socket")

local start, finish = children.start, children.finish

describe("a hostile peer", function()
  leaks.watch()

  local listener
  -- A socket that does as it likes.
  local function raw(to)
    local s = assert(socket.tcp())
    local host, port = (to or listener).address:match("^(.*):(%d+)$")
    assert(s:connect(host, tonumber(port)))
    s:settimeout(SECONDS)
    return s
  end

  local function frame(text)
    return string.pack(">s4", text)
  end

  -- Serves one who has the key, though others do not let go.
  local function serves_others()
    local p = start(function()
      return mproc.Client({ address = listener.address, authkey = "the key" }):recv(SECONDS)
    end)
    local c
    repeat
      local _, name
      c, _, name = listener:accept(SECONDS)
      assert.is_true(c ~= nil or name == "EAUTH")
    until c
    c:send("served")
    assert.equal("served", children.results(p))
    c:close()
  end

  local function it_needs_socket(name, f)
    it(name, function()
      if not there then return pending("needs lua-socket") end
      listener = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = "the key", backlog = 100 }))
      f()
      listener:close()
    end)
  end

  it_needs_socket("that is silent holds up nobody", function()
    local silent = {}
    for i = 1, 20 do silent[i] = raw() end
    serves_others()
    for _, s in ipairs(silent) do s:close() end
  end)

  it_needs_socket("that is slow is served when it is done", function()
    local slow = raw()
    assert.same({ nil, "timeout" }, { listener:accept(0) })
    local challenge = slow:receive(4 + 11 + 8 + 40)
    assert.equal("#CHALLENGE#{sha256}", challenge:sub(5, 23))
    local core = require("mproc.core")
    local answer = frame(core.answer("the key", challenge:sub(5), false))
    for i = 1, #answer do
      slow:send(answer:sub(i, i))
      assert.same({ nil, "timeout" }, { listener:accept(0) })
    end
    assert.same({ nil, "timeout" }, { listener:accept(0.02) })
    assert.equal(frame("#WELCOME#"), slow:receive(4 + 9))
    local ours = core.challenge()
    slow:send(frame(ours))
    assert.same({ nil, "timeout" }, { listener:accept(0.02) })
    local theirs = slow:receive(4 + 8 + 32)
    assert.is_true((core.judge("the key", ours, theirs:sub(5), false)))
    slow:send(frame("#WELCOME#"))
    local c <close> = assert(listener:accept(SECONDS))
    slow:send(frame("x"))
    assert.equal("x", c:recv_bytes(nil, SECONDS))
    slow:close()
  end)

  it_needs_socket("that lies in its handshake is refused at once", function()
    for _, lie in ipairs({
      frame(""), frame("#CHALLENGE#"), frame(("x"):rep(256)), frame("{sha256}" .. ("\0"):rep(32)),
      frame(("\0"):rep(16)),
      frame("{md5}" .. ("\0"):rep(16)), "\0\0\1\1", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
      "\xff\xff\xff\xfe", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\255" .. ("x"):rep(10),
    }) do
      local s = raw()
      s:send(lie)
      s:shutdown("send")
      local c, message, name = listener:accept(SECONDS)
      assert.is_nil(c)
      assert.equal("EAUTH", name)
      assert.truthy(message)
      s:close()
    end
    serves_others()
  end)

  it_needs_socket("that hangs up at any byte of its handshake is refused at once", function()
    local answer = frame("{sha256}" .. ("\1"):rep(32))
    for n = 0, #answer - 1, 3 do
      local s = raw()
      s:send(answer:sub(1, n))
      s:close()
      local c, _, name = listener:accept(SECONDS)
      assert.is_nil(c)
      assert.equal("EAUTH", name)
    end
  end)

  it_needs_socket("that is silent costs its listener ten seconds, of which others know nothing", function()
    if os.getenv("INSTRUMENTED") then return end
    local s = raw()
    local began = mproc.time()
    local c, message, name = listener:accept(SECONDS)
    assert.is_nil(c)
    assert.equal("EAUTH", name)
    assert.truthy(message:find("within 10 s", 1, true))
    assert.is_true(mproc.time() - began > 9.5)
    assert.is_nil((s:receive(1000)))
    s:close()
  end)

  it_needs_socket("that claims a long frame gets no memory for it", function()
    local open <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false, max_bytes = 1 << 30 }))
    local s = raw(open)
    local c <close> = assert(open:accept(SECONDS))
    s:send(string.pack(">I4", 1 << 29) .. ("x"):rep(1000))
    local function size()
      local sum = 0
      for _, range in ipairs(smaps.anonymous()) do sum = sum + range.to - range.from end
      return sum
    end
    collectgarbage()
    local before = size()
    assert.same({ nil, "timeout" }, { c:recv(0.05) })
    assert.is_true(size() - before < 16 << 20)
    s:close()
    assert.same({ nil, "closed" }, { c:recv(SECONDS) })
  end)

  it_needs_socket("whose frame is no frame, or too long, ends its connection", function()
    local open <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false }))
    for head, code in pairs({ ["\x80\0\0\0"] = "EBADMSG", ["\xff\xff\xff\xfe"] = "EBADMSG", ["\x04\0\0\1"] = "EMSGSIZE",
      ["\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"] = "EMSGSIZE",
      ["\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] = "EBADMSG" }) do
      local s = raw(open)
      local c <close> = assert(open:accept(SECONDS))
      s:send(head .. "more")
      for _ = 1, 2 do
        local got, message, name = c:recv(SECONDS)
        assert.is_nil(got)
        assert.equal(code, name)
        assert.truthy(message)
      end
      s:close()
    end
  end)

  it_needs_socket("that sends bytes that are no message harms nobody", function()
    local open <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false }))
    local s = raw(open)
    local c <close> = assert(open:accept(SECONDS))
    local good = mproc.encode({ 1, "two", { three = 3 }, { 1.5, 2.5 } })
    for seed = 1, 300 do
      math.randomseed(seed)
      local bytes = { good:byte(1, -1) }
      bytes[math.random(#bytes)] = math.random(0, 255)
      s:send(frame(string.char(table.unpack(bytes, 1, math.random(#bytes)))))
      local got, message, name = c:recv(SECONDS)
      assert.is_true(got ~= nil or message == nil or name == "EBADMSG")
    end
    s:send(frame(good))
    assert.same({ 1, "two", { three = 3 }, { 1.5, 2.5 } }, c:recv(SECONDS))
    s:close()
  end)

  it_needs_socket("that floods waits until it is read", function()
    local open <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false }))
    local p = start(function()
      local s = raw(open)
      local block = frame(("x"):rep(1000)):rep(1000)
      for _ = 1, 30 do s:send(block) end
      s:receive(1)
    end)
    local c = assert(open:accept(SECONDS))
    for _ = 1, 30000 do
      assert.equal(1000, #c:recv_bytes(nil, SECONDS))
    end
    assert.same({ nil, "timeout" }, { c:recv_bytes(nil, 0) })
    c:close()
    finish(p)
  end)

  it_needs_socket("that is killed at each byte of a frame leaves a whole message or none", function()
    local open <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false }))
    local whole = frame(mproc.encode("hello, and good bye"))
    for n = 0, #whole do
      local ready = mproc.Event()
      local p = start(function()
        local s = raw(open)
        s:send(whole:sub(1, n))
        ready:set()
        mproc.sleep(SECONDS)
      end)
      ready:wait(SECONDS)
      children.kill(p)
      local c <close> = assert(open:accept(SECONDS))
      if n == #whole then
        assert.equal("hello, and good bye", c:recv(SECONDS))
      end
      assert.same({ nil, "closed" }, { c:recv(SECONDS) })
    end
  end)

  it_needs_socket("that listens and says nothing costs a client its time-out", function()
    local s = assert(socket.bind("127.0.0.1", 0))
    local ip, port = s:getsockname()
    local c, _, name = mproc.Client({ address = ip .. ":" .. port, authkey = "x", timeout = 0.2 })
    assert.is_nil(c)
    assert.equal("ETIMEDOUT", name)
    s:close()
  end)
end)
