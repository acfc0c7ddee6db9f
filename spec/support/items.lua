-- SPDX-License-Identifier: MIT
-- Lists and iterators as inputs.

local items = {}

-- { f(1), f(2), … f(n) }
function items.filled(n, f)
  local list = {}
  for i = 1, n do
    list[i] = f(i)
  end
  return list
end

-- { 1, 2, … n }
function items.numbers(n)
  return items.filled(n, function(i) return i end)
end

-- An iterator that gives 1, 2, … for ever.
function items.endless()
  local i = 0
  return function()
    i = i + 1
    return i
  end
end

-- The lines of a text that are not empty.
function items.lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do
    list[#list + 1] = line
  end
  return list
end

return items
