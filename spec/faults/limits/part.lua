-- SPDX-License-Identifier: MIT
-- part(text, i, j): what string.sub is to give. Lua's own cuts an index to the size of an address: with 32 bits,
-- 2^32 + 1 is 1.

return function(text, i, j)
  local function near(index)
    return index and math.tointeger(math.max(-#text - 1, math.min(#text + 1, index)))
  end
  return text:sub(near(i), near(j))
end
