-- SPDX-License-Identifier: MIT
-- Forks and programs that are run while something is held: a child owns nothing of its parent's, and what a process
-- held that has become another program is abandoned, freed and closed.

local children = require("spec.support.children")
local holds = require("spec.support.holds")
local hostile = require("hostile")
local lfs = require("lfs")
local leaks = require("spec.support.leaks")
local core = require("mproc.core")
local mproc = require("mproc")
local proc = require("spec.support.proc")

local SIGKILL = 9

local finish = children.finish

-- Runs f in a child that mproc's Process makes, or a library's fork; what f returns, one value.
local forks = {
  ["a Process"] = function(f)
    local p <close> = mproc.Process(f):start()
    return p:result(20)
  end,
  ["fork() by a library"] = function(f)
    local q = mproc.Queue()
    local pid = hostile.fork()
    if pid == 0 then
      local ok, value = pcall(f)
      pcall(q.put, q, { ok, value })
      hostile.exit(0)
    end
    local result = q:get(20)
    assert.equal(pid, hostile.reap(pid))
    assert.truthy(result, "the child said nothing")
    assert.is_true(result[1], result[2])
    return result[2]
  end,
}

describe("a fork", function()
  leaks.watch()

  for how, in_child in pairs(forks) do
    for name, make in pairs(holds.all) do
      it(("by %s leaves %s to the parent"):format(how, name), function()
        local it = make()
        it.hold()
        assert.is_false(in_child(function() return (it.try(0)) end))
        -- What the child, which has gone by now, did not own, its end did not give back either.
        assert.is_false(in_child(function() return (it.try(0)) end))
        if it.owner then assert.equal(mproc.getpid(), it.owner()) end
        it.let_go()
        assert.same({ true }, { it.try(0) })
        it.undo()
      end)
    end

    it(("by %s: the child cannot give back what its parent holds"):format(how), function()
      local l, r = mproc.Lock(), mproc.RWLock()
      l:acquire()
      r:write_acquire()
      assert.same({ false, false, false }, in_child(function()
        return { (pcall(l.release, l)), (pcall(r.write_release, r)), (pcall(r.read_release, r)) }
      end))
      assert.is_true(l:locked())
      l:release()
      r:write_release()
    end)

    it(("by %s: the child may take what the parent gives back"):format(how), function()
      local l, free = mproc.Lock(), mproc.Event()
      l:acquire()
      local got = mproc.Queue()
      local p = mproc.Process(function()
        got:put(in_child(function()
          free:set()
          local ok, word = l:acquire(20)
          l:release()
          return { ok, word }
        end))
      end):start()
      assert.is_true(free:wait(20))
      l:release()
      assert.same({ true }, got:get(20))
      finish(p)
    end)
  end
end)

describe("another program in the place of a child", function()
  leaks.watch()

  -- A child that has become `sleep`, after f.
  local function become(f)
    local ready = mproc.Queue()
    local p = mproc.Process(function()
      f()
      ready:put(true)
      hostile.exec("sleep", "100")
    end):start()
    assert.is_true(ready:get(20))
    proc.until_true(function()
      local file <close> = assert(io.open(("/proc/%d/comm"):format(p.pid)))
      return file:read("a") == "sleep\n"
    end, "a child that is another program")
    return p
  end

  local kill = children.kill

  for name, make in pairs(holds.all) do
    it("has abandoned " .. name, function()
      local it = make()
      local p = become(it.hold)
      assert.same({ true, it.abandons and "abandoned" or nil }, { it.try(20) })
      it.undo()
      assert.is_true(p:is_alive())
      kill(p)
    end)
  end

  it("has let go of every object", function()
    local box = mproc.Queue()
    collectgarbage()
    local before = core.stats().objects
    local p = become(function()
      for _ = 1, 10 do
        box:put({ mproc.Queue(), mproc.Lock(), mproc.Array("double", 1000) })
        box:get()
      end
    end)
    proc.until_true(function()
      collectgarbage()
      return core.stats().objects <= before + 1 -- the queue of the process's results
    end, "the end of what only the child knew")
    kill(p)
  end)

  it("has closed its end of a pipe", function()
    local a, b = mproc.Pipe()
    local p = become(function() a:send("before") end)
    a:close()
    assert.equal("before", b:recv(20))
    assert.same({ nil, "closed" }, { b:recv(20) })
    b:close()
    kill(p)
  end)

  it("inherits no descriptor that mproc has made", function()
    local outer, far = mproc.Pipe()
    outer:fileno()
    local function targets(pid)
      local all = {}
      local directory = ("/proc/%d/fd/"):format(pid)
      for name in lfs.dir(directory) do
        local target = lfs.symlinkattributes(directory .. name, "target")
        if target and name:match("%d") then all[#all + 1] = target end
      end
      return all
    end
    local p = become(function()
      local a, b = mproc.Pipe()
      a:fileno()
      mproc.wait({ b, far }, 0)
      local inner = mproc.Process(function() mproc.sleep(100) end):start()
      local _ = inner.sentinel
      inner:kill()
    end)
    outer:close()
    far:close()
    local mine = " " .. table.concat(targets(mproc.getpid()), " ") .. " /dev/null "
    local function inherited()
      for _, target in ipairs(targets(p.pid)) do
        if not mine:find(" " .. target .. " ", 1, true) then
          return target
        end
      end
    end
    local ends, free = mproc.time() + 20, 0
    local left
    repeat -- what the program opens while it starts, one after the other, it closes
      left = inherited()
      free = left and 0 or free + 1
      mproc.sleep(0.01)
    until free == 20 or mproc.time() > ends
    kill(p)
    assert.is_nil(left)
  end)

  it("ends with that program's code, and is no result", function()
    local p = mproc.Process(function() hostile.exec("sh", "-c", "exit 7") end):start()
    local ok, err = pcall(p.result, p, 20)
    assert.is_false(ok)
    assert.same({ "worker_died", 7 }, { err.kind, err.exitcode })
    p:close()
  end)

  it("ends a pool's task, not the pool", function()
    local pool <close> = mproc.Pool(2)
    local ok, err = pcall(pool.apply, pool, function() hostile.exec("true") end)
    assert.is_false(ok)
    assert.same({ "worker_died", 0 }, { err.kind, err.exitcode })
    assert.equal(3, pool:apply(math.max, { 1, 3 }))
  end)

  it("is a daemon still: it is killed with its parent", function()
    local pids = mproc.Queue()
    local p = mproc.Process(function()
      local d = mproc.Process{ target = function() hostile.exec("sleep", "100") end, daemon = true }:start()
      pids:put(d.pid)
      mproc.sleep(100)
    end):start()
    local pid = pids:get(20)
    kill(p)
    proc.until_true(function()
      local state = proc.state(pid)
      return state == nil or state == "Z"
    end, "the end of the daemon")
    hostile.kill(pid, SIGKILL)
  end)
end)
