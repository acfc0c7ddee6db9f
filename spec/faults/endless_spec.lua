-- SPDX-License-Identifier: MIT
-- Nothing tries again for ever: every call in a full arena, and workers that never come up however they end.

local program = require("spec.support.program")

local SECONDS = 25 -- more than the longest that any single call waits for room, twice

local FULL = [[
  local mproc = require("mproc")
  local hoard, lock, value = mproc.Queue(), mproc.Lock(), mproc.Value("integer")
  local dict, list, array = mproc.Dict(), mproc.List(), mproc.Array("integer", 4)
  local a, b = mproc.Pipe()
  local full_queue = mproc.JoinableQueue()
  local pool = mproc.Pool(2)
  pool:map(function(i) return i end, { 1, 2, 3, 4 })
  for _, size in ipairs({ 1 << 20, 40000, 3000, 64 }) do
    while hoard:put(("x"):rep(size), 0) do end
  end
  local text = ("y"):rep(100000)
  local calls = {
    ["Queue:put"] = function() return full_queue:put(text) end,
    ["Queue:put_many"] = function() return full_queue:put_many({ text, text }) end,
    ["Connection:send"] = function() return a:send(text) end,
    ["Dict:set"] = function() dict:set("k", text) end,
    ["List:append"] = function() for _ = 1, 10000 do list:append(text) end end,
    ["freeze"] = function() return mproc.freeze({ text }) end,
    ["Queue"] = function() for _ = 1, 100000 do assert(mproc.Queue()) end end,
    ["Process:start"] = function()
      local p = assert(mproc.Process(function() return text end):start())
      return p:result(20)
    end,
    ["Pool:apply"] = function() return pool:apply(function(x) return x end, { text }) end,
    ["Pool:submit"] = function() return pool:submit(function(x) return x .. x end, text):get(20) end,
    ["Pool:map"] = function() return pool:map(function(x) return x .. text end, { 1, 2, 3 }) end,
    ["Pool:imap"] = function()
      for _ in pool:imap(function(x) return x .. text end, { 1, 2, 3 }) do end
    end,
    ["Pool"] = function() return assert(mproc.Pool(1)):apply(function() return text end) end,
    ["Pool:join"] = function() return pool:join(15) end,
    ["Pool:terminate"] = function() return pool:terminate() end,
  }
  local began = mproc.time()
  pcall(calls[arg_name])
  local took = mproc.time() - began
  pcall(pool.terminate, pool)
  print(took < %d and "done" or "it took " .. took)
  os.exit(true)
]]

local NAMES = { "Queue:put", "Queue:put_many", "Connection:send", "Dict:set", "List:append", "freeze", "Queue",
  "Process:start", "Pool:apply", "Pool:submit", "Pool:map", "Pool:imap", "Pool", "Pool:join", "Pool:terminate" }

describe("in a full arena", function()
  for _, name in ipairs(NAMES) do
    it(name .. " comes to an end", function()
      local source = ("local arg_name = %q\n"):format(name) .. FULL:gsub("%%d", SECONDS)
      local result = program.text(source, { env = "MPROC_ARENA=16M", seconds = 60 })
      assert.is_false(result.timed_out, result.out .. result.err)
      assert.equal("done\n", result.out, result.err)
    end)
  end
end)

describe("workers that never come up", function()
  local ENDS = {
    ["leave with 0"] = "os.exit(0)", ["leave with 3"] = "os.exit(3)", ["are killed"] = "os.execute('kill -9 $PPID')",
    ["raise"] = "error('no')", ["raise nil"] = "error()", ["raise what cannot travel"] = "error(io.stdout)",
    ["raise what has no text"] = "error(setmetatable({}, { __tostring = function() error('no text') end }))",
  }
  for name, code in pairs(ENDS) do
    it("break the pool when they " .. name, function()
      local result = program.text(([[
        local mproc = require("mproc")
        local pool = mproc.Pool{ processes = 2, initializer = function() %s end }
        local ok = pcall(pool.apply, pool, type, { 1 })
        local again = pcall(pool.map, pool, type, { 1, 2 })
        print(ok, again, pool:join(20))
      ]]):format(code), { seconds = 50 })
      assert.is_false(result.timed_out, result.out .. result.err)
      assert.equal("false\tfalse\ttrue\n", result.out, result.err)
    end)
  end
end)
