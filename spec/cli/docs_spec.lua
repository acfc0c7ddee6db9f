-- SPDX-License-Identifier: MIT
-- Each example of docs/command-line.md prints what stands below it.

local cli = require("spec.support.cli")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

-- The commands of all console blocks, each with the output that stands below it.
local function examples()
  local text, found = cli.read("docs/command-line.md"), {}
  for block in text:gmatch("```console\n(.-)```") do
    for line in block:gmatch("[^\n]*\n") do
      local command, more = line:match("^%$ (.*)\n$"), line:match("^> (.*)\n$")
      if command then
        found[#found + 1] = { command = command, output = "" }
      elseif more and found[#found].output == "" then
        found[#found].command = found[#found].command .. "\n" .. more
      else
        found[#found].output = found[#found].output .. line
      end
    end
  end
  return found
end

describe("docs/command-line.md", function()
  leaks.watch()

  it("shows what its examples print", function()
    local folder = cli.folder(finally)
    local all = examples()
    assert.truthy(#all > 15)
    for _, example in ipairs(all) do
      local command = example.command:gsub("%f[%w]lua5%.4%f[%s]", program.quote(program.lua))
      local result = cli.shell(("cd '%s'; { %s\n} 2>&1"):format(folder, command))
      assert.equal(example.output, result.out, example.command)
    end
  end)
end)
