-- SPDX-License-Identifier: MIT
-- A worker put the second half of its chunk back for another one, and died before it had told so. The other one had run
-- that half; it was sent again with what the dead one had kept, its results came twice, and the call never ended.

local core = require("mproc.core")
local inflight = require("mproc.pool.owner.inflight")
local leaks = require("spec.support.leaks")
local protocol = require("mproc.pool.protocol")

describe("what a dead worker had of a chunk", function()
  leaks.watch()

  local ITEMS = { "a", "b", "c", "d", "e", "f" }
  local HERE = "a worker died"

  local function new_state()
    local queue = core.queue(0, "reports")
    local state = { on_crash = "error", transport = { tasks = queue, post = protocol.post }, jobs = {} }
    inflight.prepare(state)
    local job = {
      state = state, verb = "map", mode = protocol.MAP, values = {}, errors = {}, arrived = 0, messages = 0, cancel = 0,
      version = { id = 7 }, ended = false, bytes = 0, note = function() end,
    }
    assert(inflight.send(state, job, job.mode, 0, #ITEMS, ITEMS))
    return state, job, queue
  end

  local function report(state, chunk, offset)
    inflight.report(state, chunk, offset, protocol.DONE, 1, 0, 0, true, offset + 1)
  end

  -- The lists of items that are in the task queue.
  local function sent(queue)
    local inbox, all = protocol.inbox(queue), {}
    while true do
      local got = table.pack(protocol.receive(inbox, 0))
      if got.n == 0 then
        return all
      end
      all[#all + 1] = table.concat(got[10])
      protocol.done(inbox, got[1])
    end
  end

  local function orphan(state, chunk)
    local death = { chunk = false, error = function() return HERE end }
    inflight.orphan(state, death, chunk, 0, protocol.MAP, #ITEMS, 0, 7, true, ITEMS)
  end

  it("is sent again without those items that another has reported", function()
    local state, job, queue = new_state()
    assert.same({ "abcdef" }, sent(queue))
    report(state, 1, 0)
    report(state, 1, 3) -- of the half that was put back
    report(state, 1, 4)
    orphan(state, 1)
    assert.same({ "bc", "f" }, sent(queue))
    assert.equal(3, state.inflight.count)
    report(state, 1, 5) -- by the other one, too late: it has been sent again
    assert.equal(3, job.arrived)
    for _, id in ipairs({ 2, 3 }) do
      for offset = 0, state.inflight.chunks[id].count - 1 do
        report(state, id, offset)
      end
    end
    assert.equal(#ITEMS, job.arrived)
    assert.equal(0, state.inflight.count)
    assert.equal(0, job.messages)
  end)
end)
