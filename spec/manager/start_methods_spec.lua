-- SPDX-License-Identifier: MIT
-- Managers by each start method: a fresh interpreter's has what was sent, a fork's all that was there.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local mproc = require("mproc")
local managers = require("spec.support.managers")

local Counter = {}
Counter.__index = Counter
function Counter:add(k) self.n = self.n + k return self.n end

for _, method in ipairs(mproc.get_all_start_methods()) do
  describe("a manager started by " .. method, function()
    local context = mproc.get_context(method)

    -- The fork server is one for the tree, and stays.
    setup(function()
      local p <close> = context.Process(function() end):start()
      p:join()
    end)
    leaks.watch()

    local function start(options)
      options = options or {}
      options.constructors = { Counter = function(n) return setmetatable({ n = n }, Counter) end }
      return assert(context.Manager(options))
    end

    it("makes objects, whose proxies travel", function()
      local m <close> = start({ objects = { named = { get = function(_, x) return x end } } })
      local c = m:create("Counter", 5)
      local p = context.Process(function(proxy) return proxy:add(1), proxy end, c):start()
      local n, back = children.results(p)
      assert.equal(6, n)
      assert.equal(c, back)
      assert.equal(7, back:add(1))
      assert.equal("x", m:get("named"):get("x"))
    end)

    it("listens, and takes its path along", function()
      local path = os.tmpname()
      os.remove(path)
      do
        local m <close> = start({ address = path, authkey = "key" })
        local far <close> = assert(mproc.connect(m.address, { authkey = "key" }))
        assert.equal(3, far:create("Counter", 2):add(1))
      end
      assert.is_nil(lfs.attributes(path))
    end)

    it("makes calls raise when it is killed", function()
      local m = start()
      local c = m:create("Counter", 1)
      managers.kill(m)
      managers.died(c.add, c, 1)
      m:shutdown()
    end)

    it("that cannot begin raises why", function()
      local ok, err = pcall(context.Manager, { constructors = {}, objects = { bad = { file = io.stdout } } })
      if method == "fork" then
        assert.is_true(ok)
        err:shutdown()
      else
        assert.is_false(ok)
        assert.matches("cannot send .*file", err)
      end
    end)
  end)
end
