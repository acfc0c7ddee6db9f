-- SPDX-License-Identifier: MIT
-- A pool in somebody else's event loop: fileno() says when step() has something to do.

local leaks = require("spec.support.leaks")
local optional = require("spec.support.optional")
local uv = optional("luv", "lua-luv")
if not uv then return end

describe("a pool in a luv loop", function()
  local mproc
  setup(function()
    mproc = require("mproc")
    uv.loop_alive()
  end)

  do
    -- luv's own descriptors come with its first loop.
    local timer = uv.new_timer()
    timer:start(0, 0, function() timer:close() end)
    uv.run()
  end
  leaks.watch()

  local LONGEST_PAUSE = 0.5 -- of a loop that ticks every 5 ms, on a machine that has other things to do
  local ATTEMPTS = 5 -- a busy machine lets this process wait; the loop itself shows at its best

  -- The longest time between two ticks of the loop while 1,000 tasks run in a pool.
  local function longest_pause()
    local pool <close> = mproc.Pool(2)
    local done, ticks, longest, last = 0, 0, 0, mproc.time()
    local poll, timer = uv.new_poll(pool:fileno()), uv.new_timer()
    timer:start(0, 5, function()
      local now = mproc.time()
      ticks, longest, last = ticks + 1, math.max(longest, now - last), now
    end)
    poll:start("r", function()
      while pool:step() do end
      if done == 1000 then
        poll:close()
        timer:close()
      end
    end)
    local function one(x)
      local ends = mproc.time() + 0.001
      repeat until mproc.time() >= ends
      return x
    end
    local sum = 0
    for i = 1, 1000 do
      pool:submit(one, i):add_done_callback(function(future)
        done, sum = done + 1, sum + future:get()
      end)
    end
    uv.run()
    assert.same({ 1000, 500500 }, { done, sum })
    assert.is_true(ticks >= 50, ticks)
    return longest
  end

  it("runs 1,000 tasks while the loop stays responsive", function()
    local best
    for _ = 1, ATTEMPTS do
      best = math.min(best or math.huge, longest_pause())
      if best < LONGEST_PAUSE then
        break
      end
    end
    assert.is_true(best < LONGEST_PAUSE, best)
  end)

  it("notices there that a worker died, and goes on", function()
    local pool <close> = mproc.Pool(1)
    local seen = {}
    local poll = uv.new_poll(pool:fileno())
    poll:start("r", function()
      while pool:step() do end
      if #seen == 2 then
        poll:close()
      end
    end)
    pool:submit(os.exit, 5):add_done_callback(function(future) seen[1] = future:exception().exitcode end)
    pool:submit(math.max, 1, 2):add_done_callback(function(future) seen[2] = future:get() end)
    uv.run()
    assert.same({ 5, 2 }, seen)
  end)
end)
