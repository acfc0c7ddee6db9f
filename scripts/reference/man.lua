-- SPDX-License-Identifier: MIT
-- The areas as one manual page, in the macros of man(7). Used by scripts/reference.lua.

local signature = require("scripts.reference.signature")

local man = {}

local HEAD = [[
.\" Made from library/*.lua by `make reference`. Edit those.
.TH MPROC 3 "" "mproc" "Lua modules"
.SH NAME
mproc \- processes, queues and shared memory for Lua
.SH SYNOPSIS
.nf
local mproc = require("mproc")
.fi
]]

local function plain(text)
  return (text:gsub("\\", "\\e"):gsub("-", "\\-"):gsub("'", "\\(aq"):gsub("`", "\\(ga"):gsub("[^\0-\127]+", function(s)
    local codes = {}
    for _, code in utf8.codes(s) do
      codes[#codes + 1] = ("\\[u%04X]"):format(code)
    end
    return table.concat(codes)
  end))
end

-- No line of text may look like a request.
local function guard(line)
  return (line:gsub("^[.']", "\\&%0"))
end

-- `code` and **bold** in bold, [text](address) as its text.
local function inline(text)
  local out, at = {}, 1
  text = text:gsub("%[([^%]]+)%]%([^)]+%)", "%1")
  while at <= #text do
    local from, to, code = text:find("`([^`]+)`", at)
    local bold_from, bold_to, bold = text:find("%*%*([^*]+)%*%*", at)
    if bold_from and (not from or bold_from < from) then
      from, to, code = bold_from, bold_to, bold
    end
    if not from then
      break
    end
    out[#out + 1] = plain(text:sub(at, from - 1)) .. "\\fB" .. plain(code) .. "\\fR"
    at = to + 1
  end
  return guard(table.concat(out) .. plain(text:sub(at)))
end

-- A running text. State: whether a program is being shown, and whether a paragraph is to be begun.
local TEXT = {}

function TEXT.fence(out, state)
  state.code = not state.code
  out(state.code and ".PP\n.nf\n.RS 4\n" or ".RE\n.fi\n")
  state.fresh = true
end

function TEXT.line(out, state, line)
  local item = line:match("^%- (.*)$")
  if item then
    out(".IP \\(bu 2\n%s\n", inline(item))
  else
    if state.fresh and not line:find("^  ") then
      out(".PP\n")
    end
    out("%s\n", inline(line:gsub("^ +", "")))
  end
  state.fresh = false
end

local function write_text(out, text)
  local state = { code = false, fresh = true }
  for line in (text .. "\n"):gmatch("(.-)\n") do
    if line:find("^```") then
      TEXT.fence(out, state)
    elseif state.code then
      out("%s\n", line == "" and "\\&" or guard(plain(line)))
    elseif line == "" then
      state.fresh = true
    else
      TEXT.line(out, state, line)
    end
  end
end

local function write_list(out, title, list)
  local any = false
  for _, it in ipairs(list) do
    if not it.hidden then
      if not any then
        out(".PP\n%s\n", title)
      end
      any = true
      out(".TP\n\\fB%s\\fR (%s%s)\n", plain(it.name), plain(it.type), it.optional and ", optional" or "")
      out("%s\n", inline((it.text:gsub("\n", " "))))
    end
  end
end

local WRITE = {}

function WRITE.class(out, item)
  out(".SS %s %s\n", item.bound and "Class" or "Table", plain(item.name))
  write_text(out, item.text)
  for _, other in ipairs(item.overloads) do
    out(".PP\n\\fB%s\\fR\n", plain(signature.overload(item.name, other)))
  end
  if item.parent then
    out(".PP\nIt has all that \\fB%s\\fR has.\n", plain(item.parent))
  end
  write_list(out, "Fields:", item.fields)
end

function WRITE.alias(out, item)
  out(".SS Values %s\n", plain(item.name))
  write_text(out, item.text)
  for _, it in ipairs(item.values) do
    out(".TP\n\\fB%s\\fR\n%s\n", plain(it.value), inline(it.text))
  end
end

WRITE["function"] = function(out, item)
  out(".SS %s\n", plain(signature.of(item)))
  write_text(out, item.text)
  for _, other in ipairs(item.overloads) do
    out(".PP\nAlso \\fB%s\\fR.\n", plain(signature.overload(item.call, other)))
  end
  write_list(out, "Parameters:", item.params)
  write_list(out, "Returns:", item.returns)
end

function WRITE.value(out, item)
  out(".SS %s\n", plain(item.call))
  write_text(out, item.text)
end

-- The page.
function man.write(areas)
  local lines = { HEAD }
  local function out(format, ...)
    lines[#lines + 1] = select("#", ...) > 0 and format:format(...) or format
  end
  for _, area in ipairs(areas) do
    out(".SH %s\n", plain(area.title:upper()))
    write_text(out, area.text)
    for _, item in ipairs(area.items) do
      if not item.hidden then
        WRITE[item.kind](out, item)
      end
    end
  end
  return table.concat(lines)
end

return man
