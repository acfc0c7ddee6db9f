-- SPDX-License-Identifier: MIT
-- busted's plain output, and in the file SPEC_COUNTS names the counts: a child of a spec that prints cannot
-- falsify them. Until the end the file says which test runs, for the one who looks for what hangs.

return function(options)
  local busted = require("busted")
  local handler = require("busted.outputHandlers.plainTerminal")(options)
  local path = os.getenv("SPEC_COUNTS")
  if not path then
    return handler
  end

  local function write(suffix, line)
    local file <close> = assert(io.open(path .. suffix, "w"))
    file:write(line, "\n")
  end

  busted.subscribe({ "test", "start" }, function(element)
    write(".now", handler.getFullName(element))
    return nil, true
  end)

  busted.subscribe({ "suite", "end" }, function()
    write("", ("%d %d %d"):format(
      handler.successesCount, handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    return nil, true
  end)

  return handler
end
