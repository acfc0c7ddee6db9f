-- SPDX-License-Identifier: MIT
-- Errors that blame the line of the caller's mistake.

local blame = {}

-- Asserts that f, written on one line, raises an error that blames that line and says each of the texts.
function blame.caller(f, ...)
  local info = debug.getinfo(f, "S")
  local ok, message = pcall(f)
  local here = ("%s:%d: "):format(info.short_src, info.linedefined)
  if ok then
    error("no error was raised", 2)
  elseif type(message) ~= "string" or message:sub(1, #here) ~= here then
    error(("does not blame %s but: %s"):format(here, tostring(message)), 2)
  end
  for _, text in ipairs({ ... }) do
    if not message:find(text, 1, true) then
      error(("does not say %q: %s"):format(text, message), 2)
    end
  end
end

return blame
