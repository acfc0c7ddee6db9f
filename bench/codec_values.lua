-- SPDX-License-Identifier: MIT
-- The values that serializers are compared on. Written for LuaJIT as well as for Lua 5.4.

local values = {}

function values.small_record()
  return { id = 1, name = "x", tags = { 1, 2, 3 } }
end

function values.records()
  local list = {}
  for i = 1, 100 do
    list[i] = { id = i, name = "name " .. i, score = i / 3, active = i % 2 == 0 }
  end
  return list
end

function values.integers()
  local list = {}
  for i = 1, 100000 do
    list[i] = i
  end
  return list
end

function values.floats()
  local list = {}
  for i = 1, 100000 do
    list[i] = i / 7
  end
  return list
end

-- A binary tree of 10,000 nodes, each with its name and number.
local function node(first, last)
  if first > last then
    return nil
  end
  local middle = math.floor((first + last) / 2)
  return { name = "node" .. middle, value = middle, left = node(first, middle - 1), right = node(middle + 1, last) }
end

function values.tree()
  return node(1, 10000)
end

function values.mib_string()
  return ("x"):rep(1048576)
end

return values
