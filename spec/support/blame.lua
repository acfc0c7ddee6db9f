-- SPDX-License-Identifier: MIT
-- Errors that blame the line of the caller's mistake.

local blame = {}

local function assert_says(ok, message, place, texts)
  if ok then
    error("no error was raised", 3)
  elseif type(message) ~= "string" or message:sub(1, #place) ~= place then
    error(("does not blame %s but: %s"):format(place, tostring(message)), 3)
  end
  for _, text in ipairs(texts) do
    if not message:find(text, 1, true) then
      error(("does not say %q: %s"):format(text, message), 3)
    end
  end
end

-- Asserts that f, written on one line, raises an error that blames that line and says each of the texts.
function blame.caller(f, ...)
  local info = debug.getinfo(f, "S")
  local ok, message = pcall(f)
  assert_says(ok, message, ("%s:%d: "):format(info.short_src, info.linedefined), { ... })
end

local function call(f, ...) f(...) return nil end -- no tail call: this line is the one to blame

local HERE = debug.getinfo(call, "S")

-- Asserts that f(...) raises an error that says `text` and blames whoever calls f; or where f is a function of a spec,
-- that spec.
function blame.call(text, f, ...)
  local info = debug.getinfo(f, "S")
  local ours = info.short_src:find("_spec.lua", 1, true)
  local place = ours and info.short_src .. ":" or ("%s:%d: "):format(HERE.short_src, HERE.linedefined)
  local ok, message = pcall(call, f, ...)
  assert_says(ok, message, place, { text })
end

return blame
