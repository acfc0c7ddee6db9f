-- SPDX-License-Identifier: MIT
-- Ctrl-C ends every call that waits, inside coroutines as well, and the program goes on as after any error.

local program = require("spec.support.program")

-- A daemon has all that can be had as long as the program runs, so that the call never ends by itself. It is
-- interrupted as soon as it sleeps.
local PRELUDE = [[
  local mproc = require("mproc")
  local proc = require("spec.support.proc")
  local queue, joinable, simple = mproc.Queue(), mproc.JoinableQueue(), mproc.SimpleQueue()
  local full = mproc.Queue(1)
  local a, b = mproc.Pipe()
  local lock, rlock, rw, read = mproc.Lock(), mproc.RLock(), mproc.RWLock(), mproc.RWLock()
  local semaphore, bounded = mproc.Semaphore(0), mproc.BoundedSemaphore(1)
  local condition, event, barrier = mproc.Condition(), mproc.Event(), mproc.Barrier(2)
  local value = mproc.Value("integer")
  full:put(1)
  joinable:put(1)
  local held, parent = mproc.Queue(), mproc.getpid()
  local other = mproc.Process{ daemon = true, target = function()
    for _, it in ipairs({ lock, rlock, bounded, value:lock() }) do it:acquire() end
    rw:write_acquire()
    read:read_acquire()
    held:put(true)
    mproc.sleep(100)
  end }:start()
  held:get()
  local function call()
    %s
  end
  mproc.Process(function()
    proc.wait_asleep(parent)
    os.execute("kill -INT " .. parent)
  end):start()
  print(pcall(%s))
  print(mproc.sleep(0.01), queue:put("went on"), queue:get())
]]

local CALLS = {
  "queue:get()", "queue:get(30)", "queue:get_many(2)", "queue:lease()", "for _ in queue:items() do end",
  "full:put(2)", "full:put(2, 30)", "full:put_many({ 2, 3 })", "joinable:join()", "simple:get()",
  "a:recv()", "a:recv(30)", "a:recv_bytes(10)", "a:poll(30)",
  "lock:acquire()", "lock:acquire(30)", "lock:with(print)", "lock:guard()", "rlock:acquire()",
  "rw:read_acquire()", "rw:write_acquire()", "rw:with(print)", "read:write_acquire(30)",
  "semaphore:acquire()", "semaphore:acquire(30)", "bounded:acquire()", "bounded:with(print)",
  "condition:with(function() condition:wait() end)",
  "condition:with(function() condition:wait_for(function() end, 30) end)",
  "event:wait()", "event:wait(30)", "barrier:reset() barrier:wait()", "barrier:reset() barrier:with(print)",
  "value:update(tostring)",
  "mproc.wait({ queue, event, other, a })", "mproc.wait({ queue, a }, 30)", "mproc.sleep(30)",
  "other:join()", "other:join(30)", "other:result()", "local _ <close> = other",
}

describe("Ctrl-C ends", function()
  for _, call in ipairs(CALLS) do
    for how, it_is_called in pairs({ [""] = "call", [", inside a coroutine"] = "coroutine.wrap(call)" }) do
      it(call .. how, function()
        local r = program.text(PRELUDE:format(call, it_is_called), { seconds = 25 })
        assert.is_false(r.timed_out)
        assert.truthy(r.out:find("^false\t[^\n]*interrupted!\n[^\n]*went on\n$"), r.out .. r.err)
        assert.equal(0, r.code)
      end)
    end
  end
end)
