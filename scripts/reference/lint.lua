-- SPDX-License-Identifier: MIT
-- What a documented name must say: types, units, defaults. Used by scripts/reference.lua.

local lint = {}

local function names_of(signature)
  local names = {}
  for name in signature:gmatch("[%w_.]+") do
    names[#names + 1] = name
  end
  return names
end

-- "timeout" and the like are in seconds; what may be left out has a default.
local function check_one(it, what, report)
  local text = it.text:lower()
  if it.text == "" then
    report("%s: %s '%s' has no text", it.where, what, it.name)
  end
  if it.name:find("timeout") and it.type:find("number") and not text:find("second") then
    report("%s: %s '%s' does not say its unit, seconds", it.where, what, it.name)
  end
  if it.optional and what ~= "result" and not (text:find("default") or text:find("nil")) then
    report("%s: %s '%s' does not say what is meant when it is left out", it.where, what, it.name)
  end
end

local function check_function(item, report)
  local wanted = names_of(item.signature)
  for i = 1, math.max(#wanted, #item.params) do
    local given = item.params[i] and item.params[i].name
    if given ~= wanted[i] then
      report("%s: parameter %d of %s is '%s', its @param says '%s'", item.where, i, item.call, tostring(wanted[i]),
        tostring(given))
    end
  end
end

local function known_types(areas)
  local known = { mproc = true }
  for _, area in ipairs(areas) do
    for _, item in ipairs(area.items) do
      if item.name then
        known[item.name] = true
      end
    end
  end
  return known
end

local function check_type(of, known, report)
  for name in of.type:gmatch("%f[%w]mproc[%w_.]*") do
    if not known[name] then
      report("%s: there is no type '%s'", of.where, name)
    end
  end
end

-- Names of the module, of a class's members and of classes, each with its place. Merges make twins.
local function names_in(item)
  local named = {}
  local function name(text, where)
    named[#named + 1] = { text = text, where = where }
  end
  if item.name then
    name(item.name, item.where)
  elseif item.owner then
    name(item.owner .. ": " .. item.member, item.where)
  end
  for _, field in ipairs(item.fields or {}) do
    name(item.name .. ": " .. field.name, field.where)
  end
  return named
end

local function check_twins(item, seen, report)
  for _, it in ipairs(names_in(item)) do
    if seen[it.text] then
      report("%s: %s is documented at %s already", it.where, it.text, seen[it.text])
    end
    seen[it.text] = it.where
  end
end

local LISTS = { params = "parameter", returns = "result", fields = "field" }

-- Calls report(format, ...) for each thing that is missing.
function lint.check(areas, report)
  local known, seen = known_types(areas), {}
  for _, area in ipairs(areas) do
    for _, item in ipairs(area.items) do
      if item.text == "" then
        report("%s: %s has no text", item.where, item.call or item.name)
      end
      check_twins(item, seen, report)
      if item.kind == "function" then
        check_function(item, report)
      end
      for list, what in pairs(LISTS) do
        for _, it in ipairs(item[list] or {}) do
          check_one(it, what, report)
          check_type(it, known, report)
        end
      end
    end
  end
end

return lint
