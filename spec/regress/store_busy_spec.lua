-- SPDX-License-Identifier: MIT
-- After many descriptors had been closed at once, mproc.fd failed with EAGAIN: nobody waited until the store, which is
-- told of each, had room for one more message.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local store = require("spec.support.store")

local MANY = 400 -- more than a socket holds
local NAP = 0.3

local function signal(name, pid)
  assert(os.execute(("kill -%s %d"):format(name, pid)))
end

describe("a store that is behind", function()
  setup(store.warm)
  leaks.watch()

  it("is waited for", function()
    local all = {}
    for i = 1, MANY do all[i] = assert(mproc.fd(0)) end
    local pid = store.pid()
    local p = children.start(function()
      mproc.sleep(NAP)
      signal("CONT", pid)
    end)
    signal("STOP", pid)
    for _, d in ipairs(all) do d:close() end
    local d, message = mproc.fd(0)
    children.finish(p)
    assert.truthy(d, message)
    d:close()
  end)
end)
