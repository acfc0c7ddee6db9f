-- SPDX-License-Identifier: MIT
-- Queues travel inside messages, to processes that already run, through any number of hops.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local stats = require("mproc.core").stats

describe("a handle to a queue", function()
  leaks.watch()

  local start, finish, collect = children.start, children.finish, leaks.collect

  it("names the same queue after a trip", function()
    local carrier <close> = mproc.Queue()
    local q <close> = mproc.Queue()
    carrier:put({ deep = { inside = { q } } })
    local again = carrier:get(0).deep.inside[1]
    again:put("through the copy")
    assert.equal("through the copy", q:get(0))
    q:put("through the first")
    assert.equal("through the first", again:get(0))
  end)

  it("reaches a process that runs already", function()
    local requests = mproc.Queue()
    local p = start(function()
      for _, m in requests:items() do
        m.reply:put(m.n * 2)
      end
    end)
    for n = 1, 50 do
      local reply <close> = mproc.Queue() -- made after the fork
      requests:put({ n = n, reply = reply })
      assert.equal(n * 2, reply:get(20))
    end
    requests:close()
    finish(p)
  end)

  it("passes through a chain of processes", function()
    local HOPS = 5
    local links = {}
    for i = 1, HOPS + 1 do
      links[i] = mproc.Queue()
    end
    local all = {}
    for i = 1, HOPS do
      all[i] = start(function()
        local m = links[i]:get()
        m.path = m.path .. i
        links[i + 1]:put(m)
      end)
    end
    local late = mproc.Queue()
    links[1]:put({ path = "", queue = late })
    late:put("written before it arrived")
    local m = links[HOPS + 1]:get(20)
    assert.equal("12345", m.path)
    assert.equal("written before it arrived", m.queue:get(20))
    children.finish_all(all)
  end)

  it("connects two children that never met", function()
    local to_a, to_b = mproc.Queue(), mproc.Queue()
    local out <close> = mproc.Queue()
    local a = start(function()
      to_a:get():put("from a")
    end)
    local b = start(function()
      local made_here = mproc.Queue()
      to_b:get():put(made_here)
      out:put(made_here:get())
    end)
    to_b:put(to_a) -- b sends its own queue to a
    assert.equal("from a", out:get(20))
    finish(a)
    finish(b)
  end)

  it("keeps the queue alive while only a message names it", function()
    local carrier <close> = mproc.Queue()
    do
      local q = mproc.Queue()
      q:put("kept")
      carrier:put(q)
    end
    collect()
    local q = carrier:get(0)
    assert.equal("kept", q:get(0))
  end)

  it("keeps the queue alive when its maker has ended", function()
    local carrier <close> = mproc.Queue()
    local p = start(function()
      local q = mproc.Queue()
      q:put("a legacy")
      carrier:put({ q, q })
    end)
    finish(p)
    local both = carrier:get(20)
    assert.equal("a legacy", both[1]:get(20))
    assert.is_true(both[2]:empty())
  end)

  it("keeps a queue inside a queue inside a queue", function()
    local outer <close> = mproc.Queue()
    do
      local inner, innermost = mproc.Queue(), mproc.Queue()
      innermost:put("core")
      inner:put(innermost)
      outer:put(inner)
    end
    collect()
    assert.equal("core", outer:get(0):get(0):get(0))
  end)

  it("frees the queue with the message that is never read", function()
    local before = stats().objects
    do
      local carrier = mproc.Queue()
      for _ = 1, 200 do
        carrier:put({ mproc.Queue(), ("x"):rep(50000) })
      end
    end
    collect()
    assert.equal(before, stats().objects)
  end)

  it("comes back as the same queue however often it travels", function()
    local before = stats().objects
    do
      local carrier, q = mproc.Queue(), mproc.Queue()
      for i = 1, 10000 do
        carrier:put(q)
        q = carrier:get(0)
        q:put(i)
        assert.equal(i, q:get(0))
      end
    end
    collect()
    assert.equal(before, stats().objects)
  end)

  it("may be put into the queue it names", function()
    local q <close> = mproc.Queue()
    q:put(q)
    local again = q:get(0)
    again:put(1)
    assert.equal(1, q:get(0))
  end)

  it("is not leaked by a put that fails", function()
    local carrier <close> = mproc.Queue()
    local before = stats().objects
    do
      local q = mproc.Queue()
      assert.has_error(function()
        carrier:put({ q, io.stdout })
      end)
    end
    collect()
    assert.equal(before, stats().objects)
    assert.is_true(carrier:empty())
  end)

  it("is not leaked by a full queue", function()
    local carrier <close> = mproc.Queue(1)
    carrier:put(1)
    local before = stats().objects
    for _ = 1, 100 do
      assert.same({ false, "full" }, { carrier:put(mproc.Queue(), 0) })
    end
    collect()
    assert.equal(before, stats().objects)
  end)

  it("is freed when the process that read it is killed", function()
    local carrier <close> = mproc.Queue()
    local ready <close> = mproc.Queue()
    local before = stats().objects
    local p = start(function()
      local held = {}
      for i = 1, 50 do
        held[i] = carrier:get()
      end
      ready:put(#held)
      carrier:get()
    end)
    for _ = 1, 50 do
      carrier:put(mproc.Queue())
    end
    assert.equal(50, ready:get(20))
    p:kill()
    p:join()
    p:close()
    p = nil
    require("spec.support.proc").until_true(function()
      collect()
      return stats().objects <= before
    end, "what the dead reader held is freed")
    assert.is_nil(p)
  end)

  it("travels as an upvalue of a function", function()
    local jobs = mproc.Queue()
    local results <close> = mproc.Queue()
    local p = start(function()
      for _, job in jobs:items() do
        job()
      end
    end)
    local answer <close> = mproc.Queue()
    jobs:put(function()
      answer:put("ran there")
    end)
    assert.equal("ran there", answer:get(20))
    jobs:close()
    finish(p)
    assert.is_true(results:empty())
  end)

  it("is not confused by a slot that was freed and used again", function()
    local carrier <close> = mproc.Queue()
    for i = 1, 500 do
      local a = mproc.Queue()
      carrier:put(a)
      a:put(i)
      a = nil
      collectgarbage()
      assert.is_nil(a)
      local b <close> = mproc.Queue()
      assert.is_true(b:empty())
      assert.equal(i, carrier:get(0):get(0))
    end
  end)
end)
