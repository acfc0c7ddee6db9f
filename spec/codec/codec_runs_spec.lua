-- SPDX-License-Identifier: MIT
-- Lists of numbers: written as runs, read where they lie in the table when that is known.

local items = require("spec.support.items")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local LENGTH = 100 -- several batches and a part of one

local function trip(v)
  return mproc.decode(mproc.encode(v))
end

-- Every number with its kind and its bits.
local function text_of(list, n)
  local words = {}
  for i = 1, n do
    local v = list[i]
    words[i] = math.type(v) == "float" and "f" .. string.pack("<n", v) or type(v) .. tostring(v)
  end
  return table.concat(words, ",")
end

local function assert_arrives(list, n)
  assert.equal(text_of(list, n or #list), text_of(trip(list), n or #list))
end

local filled = items.filled

local function float(i)
  return i / 7
end

local function integer(i)
  return i * 1000003
end

describe("a list of numbers", function()
  leaks.watch()

  it("keeps a value of another kind at any place", function()
    for at = 1, LENGTH do
      for _, odd in ipairs({ 3, 3.0, 0.5, "3", true, {} }) do
        for _, f in ipairs({ float, integer }) do
          local list = filled(LENGTH, f)
          list[at] = odd
          local back = trip(list)
          assert.equal(math.type(odd), math.type(back[at]))
          assert.same(odd, back[at])
          list[at], back[at] = nil, nil
          assert.equal(text_of(list, LENGTH), text_of(back, LENGTH))
        end
      end
    end
  end)

  it("arrives from whichever part of its table", function()
    for _, f in ipairs({ float, integer }) do
      local backwards = {}
      for i = LENGTH, 1, -1 do
        backwards[i] = f(i)
      end
      assert_arrives(backwards)
      assert_arrives(table.pack(table.unpack(filled(LENGTH, f))), LENGTH)
      assert_arrives(table.move(filled(LENGTH, f), 1, LENGTH, 40, filled(60, f)))
    end
  end)

  it("arrives after it has shrunk, and with holes", function()
    for length = LENGTH, 30, -1 do
      local list = filled(LENGTH, integer)
      for i = LENGTH, length + 1, -1 do
        list[i] = nil
      end
      assert_arrives(list, LENGTH)
      list[length // 2] = nil
      assert_arrives(list, LENGTH)
    end
  end)

  it("keeps signs of zero and what is no number", function()
    assert_arrives(filled(LENGTH, function(i)
      return i % 3 == 0 and 0.0 or i % 3 == 1 and -0.0 or -(0 / 0)
    end))
  end)

  it("arrives in the narrowest width that holds all of it", function()
    for bits = 0, 63 do
      local edge = 1 << bits
      assert_arrives(filled(LENGTH, function(i)
        return i == LENGTH and edge - 1 or i == 1 and -edge or i % 2 == 0 and edge or 0
      end))
    end
  end)
end)
