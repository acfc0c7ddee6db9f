-- SPDX-License-Identifier: MIT
-- A process that took a task, let the queue's handle go and died: join waited for ever for a task that nobody had.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("join of a JoinableQueue", function()
  leaks.watch()

  it("does not wait for the task of a dead process that had let the queue go", function()
    local carrier, news = mproc.Queue(), mproc.Queue()
    local child <close> = mproc.Process(function()
      carrier:get():get()
      collectgarbage()
      collectgarbage()
      news:put("let go")
      mproc.sleep(60)
    end):start()
    local tasks = mproc.JoinableQueue() -- made after the fork: the child has it by its message alone
    tasks:put("task")
    carrier:put(tasks)
    assert.equal("let go", news:get(10))
    assert.is_false((tasks:join(0)))
    child:kill()
    child:join()
    assert.is_true((tasks:join(5)))
  end)
end)
