-- SPDX-License-Identifier: MIT
-- The specs of local pools once more, with pools at a server. Left out are those whose tasks use objects of one
-- machine's memory (queues, locks, the owner's files), and those about a pool's own workers (initializers, sizes,
-- pids): what is said of these stands in spec/pool/far_spec.lua and in errors_spec.lua.

local far_pool = require("redis.spec.support.far_pool")
local server = require("redis.spec.support.server")

if not server.there() then
  pending("local pools' specs: skipped, there is no redis-server here")
  return
end

local CHOSEN = {
  calls = {
    "reduce combines in the workers, in order",
    "filter keeps the items for which the function is true, in order",
    "any, all and find stop early, in endless input too",
    "search raises the error of an item before the one that decides",
    "calls a function, with how many are done of how many",
  },
  apply = {
    "gives all results, whatever the arguments are",
    "is not given what belongs to others",
    "runs callbacks that are due",
    "counts the time that calls took",
    "refuses the pool's other process, and a pool that is closed",
  },
  future = {
    "gives all results, again and again",
    "raises its task's error at each get",
    "calls back in the calls that wait, in order, with the future",
    "of apply_async has a callback of results and one of the error",
    "cannot travel",
  },
  stream = {
    "gives indices and values in order",
    "takes io.lines as it stands, over a whole file",
    "that is dropped is forgotten",
    "raises an item's error at that item, and goes on",
    "gives its results after close and join too",
    "of an input that was cut off by terminate says so",
    "can feed another, and both go on",
    "gives items of several values as several arguments",
    "runs in a coroutine, with an input that yields",
  },
  pool = {
    "a function and gives all its results",
    "arguments with nils, and named ones as a table after them",
    "in order, whatever the chunks",
    "nothing to an empty list",
    "lists with nils, by their n",
    "iterators, with and without the generic for's other values",
    "lists of arguments with starmap, and several lists at once",
    "asynchronously, so that the items are a snapshot",
    "and gives long results and many of them without anybody reading",
    "that it is open, and names the state and the remedy",
    "that they are called with a colon",
    "by join, which closes and waits for all that was given",
    "by its scope: joined at its end, terminated by an error",
    "at once by terminate, whatever is queued; what is pending fails",
  },
}

describe("at a server", function()
  setup(far_pool.start)
  teardown(far_pool.stop)

  local all = {}
  for file, list in pairs(CHOSEN) do
    local chosen = {}
    for _, name in ipairs(list) do
      chosen[name] = true
    end
    far_pool.declare(("spec/pool/%s_spec.lua"):format(file), chosen, _ENV)
    all[file] = chosen
  end

  it("all that were chosen are there", function()
    for file, chosen in pairs(all) do
      assert.is_nil(next(chosen), file)
    end
  end)
end)
