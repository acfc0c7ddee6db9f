-- SPDX-License-Identifier: MIT
-- The areas as one page of Markdown. Used by scripts/reference.lua.

local signature = require("scripts.reference.signature")

local markdown = {}

local HEAD = [[
# Reference

<!-- Made from library/*.lua by `make reference`. Edit those. -->

]]

local function slug(title)
  return (title:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-"))
end

local function add_list(out, title, list)
  local shown = {}
  for _, it in ipairs(list) do
    if not it.hidden then
      local optional = it.optional and ", optional" or ""
      shown[#shown + 1] = ("- `%s` (`%s`%s): %s\n"):format(it.name, it.type, optional, it.text:gsub("\n", "\n  "))
    end
  end
  if #shown > 0 then
    out("%s\n\n%s\n", title, table.concat(shown))
  end
end

local WRITE = {}

function WRITE.class(out, item)
  out("### %s `%s`\n\n%s\n\n", item.bound and "Class" or "Table", item.name, item.text)
  for _, other in ipairs(item.overloads) do
    out("- `%s`\n", signature.overload(item.name, other))
  end
  out("\n")
  if item.parent then
    out("It has all that `%s` has.\n\n", item.parent)
  end
  add_list(out, "Fields:", item.fields)
end

function WRITE.alias(out, item)
  out("### Values `%s`\n\n%s\n\n", item.name, item.text)
  for _, it in ipairs(item.values) do
    out("- `%s`: %s\n", it.value, it.text)
  end
  out("\n")
end

WRITE["function"] = function(out, item)
  out("### `%s`\n\n%s\n\n", signature.of(item), item.text)
  for _, other in ipairs(item.overloads) do
    out("Also `%s`.\n\n", signature.overload(item.call, other))
  end
  add_list(out, "Parameters:", item.params)
  add_list(out, "Returns:", item.returns)
end

function WRITE.value(out, item)
  out("### `%s`\n\n%s\n\n", item.call, item.text)
end

-- The page.
function markdown.write(areas)
  local lines = { HEAD }
  local function out(format, ...)
    lines[#lines + 1] = format:format(...)
  end
  for _, area in ipairs(areas) do
    out("- [%s](#%s)\n", area.title, slug(area.title))
  end
  for _, area in ipairs(areas) do
    out("\n## %s\n\n%s\n\n", area.title, area.text)
    for _, item in ipairs(area.items) do
      if not item.hidden then
        WRITE[item.kind](out, item)
      end
    end
  end
  return (table.concat(lines):gsub("\n\n\n+", "\n\n"):gsub("\n+$", "\n"))
end

return markdown
