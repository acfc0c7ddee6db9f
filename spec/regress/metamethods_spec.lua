-- SPDX-License-Identifier: MIT
-- A metamethod that a program called itself, with something else than its object, ended the program: __gc, __close and
-- __tostring believed what they were given.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local store = require("spec.support.store")

describe("metamethods", function()
  setup(store.warm)
  leaks.watch()

  local function make()
    local listener = assert(mproc.Listener({ authkey = false }))
    local connection = assert(mproc.Client({ address = listener.address, authkey = false }))
    local memory = mproc.SharedMemory({ size = 64 })
    local named = mproc.SharedMemory({ name = "mproc-spec-metamethods", size = 64, create = true, unlink = true })
    local lock, queue = mproc.Lock(), mproc.JoinableQueue()
    queue:put(1)
    local _, lease = queue:lease()
    return {
      listener, connection, memory, named, memory:view("int8"), mproc.fd(0), mproc.Queue(), queue, lease,
      lock, mproc.RLock(), mproc.RWLock(), mproc.Semaphore(1), mproc.Event(), mproc.Barrier(1), mproc.Condition(),
      mproc.Value("integer"), mproc.Array("integer", 3), mproc.Dict(), mproc.List(), mproc.Set(), mproc.freeze({ 1 }),
      (mproc.Pipe()),
    }
  end

  it("do nothing, or raise, for what is not theirs", function()
    local all = make()
    for _, object in ipairs(all) do
      local others = { 5, "text", io.stdout, {}, print, coroutine.create(print) }
      for _, name in ipairs({ "__gc", "__close", "__tostring", "__len", "__eq", "__mproc_wait", "__mproc_encode" }) do
        local f = debug.getmetatable(object)[name]
        for i = 1, f and #others or 0 do
          pcall(f)
          pcall(f, others[i])
          pcall(f, others[i], object)
        end
      end
      assert.equal("string", type(tostring(object)))
    end
    for _, object in ipairs(all) do
      local mt = debug.getmetatable(object)
      if mt.__close then mt.__close(object) end
    end
  end)
end)
