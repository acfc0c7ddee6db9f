-- SPDX-License-Identifier: MIT
-- The least an installed mproc must do; prints "smoke ok" and where the module was found.

local mproc = require("mproc")

local q = mproc.Queue()
local p = mproc.Process{
  target = function(a, options)
    q:put({ sum = a + options.b, name = mproc.current_process().name })
    return "returned", nil, 3
  end,
  args = { 1 },
  kwargs = { b = 2 },
  name = "smoke",
}:start()
p:join()
local message = q:get()
assert(message.sum == 3 and message.name == "smoke")
local results = table.pack(p:result())
assert(results.n == 3 and results[1] == "returned" and results[3] == 3)
assert(p.exitcode == 0)
assert(mproc.decode(mproc.encode({ 1, "two" }))[2] == "two")

print("smoke ok")
print(package.searchpath("mproc", package.path))
print(package.searchpath("mproc.core", package.cpath))
