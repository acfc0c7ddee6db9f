-- SPDX-License-Identifier: MIT
-- How a documented function is called, in one line. Used by markdown.lua and man.lua.

local signature = {}

-- "q:put(value[, timeout])"
function signature.of(item)
  local parts, open = {}, 0
  for i, param in ipairs(item.params) do
    local comma = i > 1 and ", " or ""
    if param.optional then
      parts[#parts + 1] = "[" .. comma
      open = open + 1
    else
      parts[#parts + 1] = comma
    end
    parts[#parts + 1] = param.name
  end
  return ("%s(%s%s)"):format(item.call, table.concat(parts), ("]"):rep(open))
end

-- An overload "fun(...): type" under the name by which it is called.
function signature.overload(call, overload)
  return call .. overload:gsub("^fun", "")
end

return signature
