-- SPDX-License-Identifier: MIT
-- What a dead worker had in hand may become an orphan a while after its death is known, while another process sees to
-- it. A pool looked once only: the task hung, or the next death made an error.

local leaks = require("spec.support.leaks")

describe("a pool whose dead worker's task comes back late", function()
  local mproc, protocol
  setup(function()
    mproc = require("mproc")
    pcall(mproc.Pool, 0) -- its modules are there from now on
    protocol = require("mproc.pool.protocol")
  end)
  leaks.watch()

  -- As if another process were busy with what the dead one had, for so many looks of a pool that is made now.
  local function busy_for(looks)
    local inbox, receive, leased, orphans = protocol.inbox, protocol.receive, protocol.leased, nil
    finally(function()
      protocol.inbox, protocol.receive, protocol.leased = inbox, receive, leased
    end)
    function protocol.inbox(queue, kind)
      local made = inbox(queue, kind)
      orphans = kind == "orphans" and made or orphans
      return made
    end
    function protocol.receive(from, ...)
      if from == orphans then
        looks = looks - 1
        if looks >= 0 then
          return nil
        end
      end
      return receive(from, ...)
    end
    function protocol.leased(...)
      return looks > 0 or leased(...)
    end
    local pool = mproc.Pool(2)
    orphans = assert(orphans)
    return pool, function() return looks end
  end

  local function die()
    os.exit(3)
  end

  it("fails it all the same", function()
    local pool <close>, rest = busy_for(3)
    local err = pool:submit(die):exception(5)
    assert.is_true(rest() < 0)
    assert.equal("worker_died", err.kind)
    assert.equal(3, err.exitcode)
  end)

  it("knows whose it was when others have died since", function()
    local pool <close>, rest = busy_for(2)
    local first, second = pool:submit(die), pool:submit(die)
    assert.is_true(first:wait(5) and second:wait(5))
    assert.is_true(rest() < 0)
    local one, two = first:exception(0), second:exception(0)
    assert.same({ "worker_died", "worker_died" }, { one.kind, two.kind })
    assert.are_not.equal(one.pid, two.pid)
  end)
end)
