-- SPDX-License-Identifier: MIT
-- Mistakes in a call by way of pcall, of which the error said no line at all.

local program = require("spec.support.program")

describe("a mistake in what pcall calls directly", function()
  for name, call in pairs({
    ["raised in C"] = "pcall(lock.release, lock)",
    ["raised in Lua"] = "pcall(mproc.Semaphore, -1)",
    ["of a value that cannot travel"] = "pcall(queue.put, queue, io.stdout)",
    ["of another self"] = "pcall(lock.with, {}, print)",
    ["of a timeout"] = "pcall(lock.acquire, lock, true)",
    ["of a scope's timeout"] = "pcall(lock.guard, lock, true)",
  }) do
    it(name .. " blames the line of pcall", function()
      local r = program.text("local mproc = require('mproc')\nlocal lock, queue = mproc.Lock(), mproc.Queue()\n"
        .. "print(" .. call .. ")")
      assert.truthy(r.out:find("^false\t[^\n]-:3: "), r.out .. r.err)
    end)
  end
end)
