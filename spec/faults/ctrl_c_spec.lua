-- SPDX-License-Identifier: MIT
-- Ctrl-C at random moments of every call, in a script that catches it and at the prompt: nothing stays held, nothing is
-- lost or doubled, no child or worker is left, and the next call works. One moment of each call, another each day; with
-- MPROC_FAULTS_COMPLETE=1 more of them.

local program = require("spec.support.program")

local MOMENTS = os.getenv("MPROC_FAULTS_COMPLETE") and 20 or 1
local today = os.time() // 86400

local function names_of(group)
  local names = {}
  for name, scenario in pairs(require("spec.faults.raise." .. group)) do
    if not scenario.catches then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function check(r, expected)
  if r.timed_out or r.code ~= 0 or r.out ~= expected then
    error(("%s\n%s\n%s"):format(r.timed_out and "hangs" or "status " .. r.code, r.out, r.err), 0)
  end
end

local function in_script(group, name)
  for moment = 1, MOMENTS do
    check(program.file("spec/faults/ctrl_c_program.lua", { group, name, today + moment }, { seconds = 40 }), "well\n")
  end
end

-- Lines as a user types them.
local function typed(group, names)
  local lines = { 'C = require("spec.faults.ctrl_c_program")' }
  for i, name in ipairs(names) do
    lines[#lines + 1] = ("C.prepare(%q, %q)"):format(group, name)
    lines[#lines + 1] = ("C.provoke(%d)"):format(today + i)
    lines[#lines + 1] = "C.audit()"
  end
  return table.concat(lines, "\n") .. "\n"
end

-- What the prompt itself writes is on the same lines.
local function at_prompt(group, names)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(typed(group, names))
  file:close()
  local r = program.shell(("TERM=dumb exec %s -i <%s"):format(program.lua, path), 100)
  os.remove(path)
  local _, wells = r.out:gsub("well\n", "")
  if r.timed_out or wells ~= #names then
    error(("%s, %d of %d are well\n%s\n%s"):format(r.timed_out and "hangs" or "status " .. r.code, wells, #names,
      r.out, r.err), 0)
  end
end

for _, group in ipairs({ "sync", "queue", "process", "pool" }) do
  local names = names_of(group)

  describe("Ctrl-C in a script, in", function()
    for _, name in ipairs(names) do
      it(name, function() in_script(group, name) end)
    end
  end)

  describe("Ctrl-C at the prompt, again and again, in", function()
    for first = 1, #names, 10 do
      local some = table.move(names, first, math.min(first + 9, #names), 1, {})
      it(table.concat(some, "; "), function() at_prompt(group, some) end)
    end
  end)
end
