-- SPDX-License-Identifier: MIT
-- Documented names against those that are there. Used by scripts/reference.lua.

local compare = {}

-- class -> { parent =, members = { name -> where } }
local function documented(areas)
  local classes = { mproc = { members = {} } }
  for _, area in ipairs(areas) do
    for _, item in ipairs(area.items) do
      if item.kind == "class" then
        classes[item.name] = classes[item.name] or { members = {} }
        classes[item.name].parent, classes[item.name].where = item.parent, item.where
        for _, field in ipairs(item.fields) do
          if not field.name:find("^%[") then -- "[integer]": what an index gives
            classes[item.name].members[field.name] = field.where
          end
        end
      end
    end
  end
  for _, area in ipairs(areas) do
    for _, item in ipairs(area.items) do
      if item.owner then
        classes[item.owner] = classes[item.owner] or { members = {} }
        classes[item.owner].members[item.member] = item.where
      end
    end
  end
  return classes
end

local function has(classes, name, member)
  local of = classes[name]
  return of and (of.members[member] or has(classes, of.parent, member))
end

-- A member of a class is there when it, or a class made from it, has it.
local function check_documented(classes, names, report)
  for name, of in pairs(classes) do
    if not names[name] then
      report("%s: there is nothing that %s stands for", of.where, name)
    else
      for member, where in pairs(of.members) do
        if not names[name][member] then
          report("%s: %s has no '%s'", where, name, member)
        end
      end
    end
  end
end

local function check_exported(classes, names, kinds, report)
  for name, members in pairs(names) do
    for member in pairs(members) do
      if not has(classes, name, member) then
        report("%s has '%s', which library/ does not document", name, member)
      end
    end
  end
  for kind in pairs(kinds) do
    if not classes[kind] then
      report("objects of the kind %s are not documented in library/", kind)
    end
  end
end

-- Variables stand in the text of some area.
local function check_variables(areas, variables, report)
  local all = {}
  for _, area in ipairs(areas) do
    all[#all + 1] = area.text
  end
  local text = table.concat(all, "\n")
  for name in pairs(variables) do
    if not text:find("%f[%w_]" .. name .. "%f[^%w_]") then
      report("the environment variable %s is read, and library/ does not document it", name)
    end
  end
  for name in text:gmatch("MPROC_[%u_]+") do
    if not variables[name] then
      report("the environment variable %s is documented, and nothing reads it", name)
    end
  end
end

-- Calls report(format, ...) for each difference, in order.
function compare.check(areas, exports, report)
  local names, kinds = exports.read()
  local classes, lines = documented(areas), {}
  local function collect(format, ...)
    lines[#lines + 1] = format:format(...)
  end
  check_documented(classes, names, collect)
  check_exported(classes, names, kinds, collect)
  check_variables(areas, exports.variables(), collect)
  table.sort(lines)
  for _, line in ipairs(lines) do
    report("%s", line)
  end
end

return compare
