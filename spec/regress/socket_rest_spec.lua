-- SPDX-License-Identifier: MIT
-- What a send had left of its frame at its time-out went out with the next call only: who went on to receive waited for
-- an answer to what the other side had not got. And a fork that closed or collected its copy of the connection sent it
-- too.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local SECONDS = 10
local BLOCKS, BLOCK = 400, 1 << 16 -- more than a socket holds

-- A text in which no block is like another.
local function long_text()
  local list = {}
  for i = 1, BLOCKS do list[i] = ("%08d"):format(i):rep(BLOCK // 8) end
  return table.concat(list)
end

describe("what is left of a frame", function()
  leaks.watch()

  it("goes out while an answer is waited for", function()
    local listener <close> = assert(mproc.Listener({}))
    local go, text = mproc.Event(), long_text()
    local p = children.start(function()
      local c <close> = assert(mproc.Client({ address = listener.address }))
      go:wait(SECONDS)
      c:send(c:recv(SECONDS) == text)
      c:recv(SECONDS)
    end)
    do
      local c <close> = assert(listener:accept(SECONDS))
      assert.equal("r", c:events())
      assert.is_true(c:send(text, 0))
      assert.equal("rw", c:events())
      go:set()
      assert.is_true(c:recv(SECONDS))
      assert.equal("r", c:events())
    end
    children.finish(p)
  end)

  it("is not a fork's to send", function()
    local listener <close> = assert(mproc.Listener({ authkey = false }))
    local c <close> = assert(mproc.Client({ address = listener.address, authkey = false }))
    local s <close> = assert(listener:accept(SECONDS))
    local text = long_text()
    assert.is_true(c:send_bytes(text, 1, -1, 0))
    assert.is_nil((s:recv_bytes(nil, 0))) -- now there is room for some more
    children.finish(children.start(function()
      c:poll(0)
      c:close()
    end))
    local got
    repeat
      c:poll(0)
      got = s:recv_bytes(nil, 0.001)
    until got
    assert.is_true(got == text)
  end)

  -- Reads what comes to the listener, slowly at first.
  local function read_late(listener)
    local c <close> = assert(listener:accept(SECONDS))
    mproc.sleep(0.2)
    return (c:recv_bytes(nil, SECONDS))
  end

  for name, last in pairs({
    ["its end"] = "", ["os.exit"] = "os.exit(0)", ["os.exit, closing the state"] = "os.exit(0, true)",
    ["an error"] = "error('the end')", ["a collection, and time"] = "c = nil collectgarbage() mproc.sleep(0.5)",
  }) do
    for kind, start in pairs({
      ["a program"] = function(source) return function() return require("spec.support.program").text(source) end end,
      ["a child"] = function(source) return function() assert(load(source))() end end,
    }) do
      it(("goes out though %s leaves by %s"):format(kind, name), function()
        local listener <close> = assert(mproc.Listener({ authkey = false }))
        local source = ([[
          local mproc = require("mproc")
          local c = assert(mproc.Client({ address = %q, authkey = false }))
          assert(c:send_bytes(("0123456789abcdef"):rep(1 << 20), 1, -1, 0))
          %s
        ]]):format(listener.address, last)
        local p = children.start(start(source))
        assert.is_true(read_late(listener) == ("0123456789abcdef"):rep(1 << 20))
        children.reap(p)
      end)
    end
  end

  it("is given up when nobody reads: an end waits two seconds", function()
    local listener <close> = assert(mproc.Listener({ authkey = false }))
    local p = children.start(function()
      local c = assert(mproc.Client({ address = listener.address, authkey = false }))
      assert(c:send_bytes(long_text(), 1, -1, 0))
    end)
    local c <close> = assert(listener:accept(SECONDS))
    local began = mproc.time()
    children.finish(p)
    assert.is_true(mproc.time() - began < 8)
    assert.equal("closed", select(2, c:recv_bytes(nil, SECONDS)))
  end)
end)
