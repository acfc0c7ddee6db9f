-- SPDX-License-Identifier: MIT
-- What the workers of demo.lua do: a module that owner and workers require.

local word_counts = {}

-- The text, or an empty one: a tree may hold files that one may not read.
local function read(name)
  local file <close> = io.open(name, "rb")
  return file and file:read("a") or ""
end

-- How often each word and each identifier comes in these files, and their bytes.
function word_counts.count(names)
  local identifiers, words, bytes = {}, {}, 0
  for _, name in ipairs(names) do
    local text = read(name)
    for identifier in text:gmatch("[%a_][%w_]*") do
      identifiers[identifier] = (identifiers[identifier] or 0) + 1
    end
    for word in text:lower():gmatch("%a+") do
      words[word] = (words[word] or 0) + 1
    end
    bytes = bytes + #text
  end
  return { identifiers = identifiers, words = words, bytes = bytes }
end

return word_counts
