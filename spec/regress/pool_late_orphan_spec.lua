-- SPDX-License-Identifier: MIT
-- What a dead worker had in hand may become an orphan a while after its death is known, while another process sees to
-- it. A pool looked once only: the task hung, or the next death made an error.

local leaks = require("spec.support.leaks")

describe("a pool whose dead worker's task comes back late", function()
  local mproc, core
  setup(function()
    mproc = require("mproc")
    core = require("mproc.core")
  end)
  leaks.watch()

  -- As if another process were busy with what the dead one had, for so many looks.
  local function busy_for(looks)
    local orphan, leased = core.orphan, core.leased
    finally(function()
      core.orphan, core.leased = orphan, leased
    end)
    function core.orphan(...)
      looks = looks - 1
      if looks < 0 then
        return orphan(...)
      end
    end
    function core.leased(...)
      return looks > 0 or leased(...)
    end
  end

  local function die()
    os.exit(3)
  end

  it("fails it all the same", function()
    local pool <close> = mproc.Pool(1)
    busy_for(3)
    local err = pool:submit(die):exception(5)
    assert.equal("worker_died", err.kind)
    assert.equal(3, err.exitcode)
  end)

  it("knows whose it was when others have died since", function()
    local pool <close> = mproc.Pool(2)
    busy_for(2)
    local first, second = pool:submit(die), pool:submit(die)
    assert.is_true(first:wait(5) and second:wait(5))
    local one, two = first:exception(0), second:exception(0)
    assert.same({ "worker_died", "worker_died" }, { one.kind, two.kind })
    assert.are_not.equal(one.pid, two.pid)
  end)
end)
