-- SPDX-License-Identifier: MIT
-- Histories: what several processes did to one key of a Dict, when each call began and ended and what it gave, must be
-- what some order of single steps gives, in which no call comes before one that had ended when it began.

local leaks = require("spec.support.leaks")

local PROCESSES, CALLS, OTHERS = 4, 400, 50

-- What a call does to the value v: the value afterwards, and whether its results are right.
local STEPS = {
  set = function(_, call) return call.new, true end,
  get = function(v, call) return v, call.result == v end,
  has = function(v, call) return v, call.result == (v ~= nil) end,
  exchange = function(v, call) return call.new, call.result == v end,
  pop = function(v, call) return nil, call.result == v end,
  add = function(v, call) return (v or 0) + call.new, call.result == (v or 0) + call.new end,
  setdefault = function(v, call) return v or call.new, call.result == (v or call.new) end,
  swap = function(v, call)
    if call.done ~= (v == call.old) or call.result ~= v then
      return v, false
    end
    return call.done and call.new or v, true
  end,
}

-- Whether that order exists. The calls of each process are in order; so a state of the search is how many of each are
-- done, and the value.
local function is_linear(histories)
  local seen = {}

  local function search(done, value)
    local name = table.concat(done, ",") .. ":" .. tostring(value)
    if seen[name] then
      return false
    end
    seen[name] = true
    local first_end, left = math.huge, false
    for p, list in ipairs(histories) do
      local call = list[done[p] + 1]
      first_end = math.min(first_end, call and call.ended or math.huge)
      left = left or call ~= nil
    end
    if not left then
      return true
    end
    for p, list in ipairs(histories) do
      local call = list[done[p] + 1]
      if call and call.began <= first_end then
        local after, right = STEPS[call.what](value, call)
        if right then
          local next_done = { table.unpack(done) }
          next_done[p] = next_done[p] + 1
          if search(next_done, after) then
            return true
          end
        end
      end
    end
    return false
  end

  local none = {}
  for p = 1, #histories do
    none[p] = 0
  end
  return search(none, nil)
end

describe("a history of a key", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  -- How values are stored: wrap(number) and number_of(value).
  local FORMS = {
    numbers = { function(n) return n end, function(v) return v end, { "add", "swap" } },
    texts = {
      function(n) return n and ("%d:%s"):format(n, ("x"):rep(n % 90)) end,
      function(v) return v and math.tointeger(tonumber(v:match("^%d+"))) end,
      { "swap" },
    },
    tables = { function(n) return n and { n, { n } } end, function(v) return v and v[2][1] end, {} },
    objects = {
      function(n) return n and { mproc.Value("integer", n) } end, function(v) return v and v[1].value end, {},
    },
  }

  local function do_one(d, call, wrap, number_of)
    local what, new = call.what, call.new
    call.began = mproc.time()
    local result
    if what == "set" then
      d:set("k", wrap(new))
    elseif what == "get" or what == "pop" then
      result = number_of(d[what](d, "k"))
    elseif what == "has" then
      result = d:has("k")
    elseif what == "add" then
      result = d:add("k", new)
    elseif what == "swap" then
      call.done, result = d:compare_exchange("k", wrap(call.old), wrap(new))
      result = number_of(result)
    else
      result = number_of(d[what](d, "k", wrap(new)))
    end
    call.ended = mproc.time()
    call.result = result
  end

  local function record(d, form, id)
    local wrap, number_of, more = table.unpack(FORMS[form])
    local kinds = table.move(more, 1, #more, 7, { "set", "get", "has", "exchange", "pop", "setdefault" })
    local history, last = {}, nil
    for i = 1, CALLS do
      local call = { what = kinds[math.random(#kinds)], new = id + PROCESSES * i, old = last }
      do_one(d, call, wrap, number_of)
      last = type(call.result) == "number" and call.result or nil
      history[i] = call
      d[math.random(OTHERS)] = ("y"):rep(i % 100) -- so that tables are copied under it
    end
    return history
  end

  it("that could not be is refused", function()
    local function call(what, began, ended, new, result)
      return { what = what, began = began, ended = ended, new = new, result = result }
    end
    assert.is_true(is_linear{ { call("set", 1, 2, 5) }, { call("get", 1, 3, nil, 5) } })
    assert.is_true(is_linear{ { call("set", 1, 4, 5) }, { call("get", 2, 3, nil, nil) } })
    assert.is_false(is_linear{ { call("set", 1, 2, 5) }, { call("get", 3, 4, nil, nil) } })
    assert.is_false(is_linear{ { call("set", 1, 9, 5) }, { call("get", 2, 3, nil, 5), call("get", 4, 5, nil, nil) } })
    assert.is_false(is_linear{ { call("pop", 1, 4, nil, 5) }, { call("set", 0, 1, 5), call("pop", 2, 3, nil, 5) } })
  end)

  for form in pairs(FORMS) do
    it("of " .. form .. " is one of single steps", function()
      local d, go, processes, histories = mproc.Dict(), mproc.Event(), {}, {}
      for id = 1, PROCESSES do
        processes[id] = mproc.Process(function()
          go:wait()
          return record(d, form, id)
        end):start()
      end
      go:set()
      for id, p in ipairs(processes) do
        histories[id] = assert(p:result(60))
        p:join()
        p:close()
      end
      assert.is_true(is_linear(histories))
    end)
  end
end)
