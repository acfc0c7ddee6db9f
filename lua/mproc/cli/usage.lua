-- SPDX-License-Identifier: MIT
-- What the program says of itself, and the mistakes of its users. Used by mproc.cli and its verbs.

local usage = {}

local WIDTH = 24 -- of the column of options

local Mistake = {}
Mistake.__index = Mistake

function Mistake:__tostring()
  return self.text
end

-- Ends the verb with that message and exit status 2, or another one.
function usage.fail(format, ...)
  error(setmetatable({ text = format:format(...), status = 2 }, Mistake), 0)
end

-- What went wrong after all began: exit status 1.
function usage.stop(format, ...)
  error(setmetatable({ text = format:format(...), status = 1 }, Mistake), 0)
end

function usage.is_mistake(err)
  return getmetatable(err) == Mistake
end

-- "-j, --jobs N"
function usage.name_of(option)
  local names = {}
  if option.short then
    names[#names + 1] = "-" .. option.short
  end
  if option.long then
    names[#names + 1] = "--" .. option.long
  end
  return table.concat(names, ", ") .. (option.value and " " .. option.value or "")
end

local function line_of(left, text)
  if #left >= WIDTH then
    return ("  %s\n  %s%s\n"):format(left, (" "):rep(WIDTH), text)
  end
  return ("  %-" .. WIDTH .. "s%s\n"):format(left, text)
end

-- One screen.
function usage.of_verb(verb)
  local parts = { ("Usage: mproc %s\n%s\n\n"):format(verb.synopsis, verb.summary) }
  for _, option in ipairs(verb.options) do
    parts[#parts + 1] = line_of(usage.name_of(option), option.text)
  end
  if verb.notes then
    parts[#parts + 1] = "\n" .. verb.notes .. "\n"
  end
  return table.concat(parts)
end

function usage.of_program(verbs)
  local parts = { "Usage: mproc VERB [OPTION...] ...\nWork on lines and commands by several processes.\n\n" }
  for _, name in ipairs(verbs) do
    local verb = require("mproc.cli." .. name)
    parts[#parts + 1] = line_of(verb.synopsis, verb.summary)
  end
  parts[#parts + 1] = "\nmproc VERB --help tells more; mproc --version says which one this is.\n"
  return table.concat(parts)
end

return usage
