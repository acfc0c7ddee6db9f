-- SPDX-License-Identifier: MIT
-- With MPROC_START_METHOD set, the processes of all specs start by that method (make test-start-methods). busted loads
-- this file before any spec, as its helper.

local methods = { name = os.getenv("MPROC_START_METHOD") or "" }

-- Tests of what a child inherits are pending by the other methods.
methods.forks = methods.name == "" or methods.name == "fork"

-- The server lives as long as the tree, and so do its queue and its process: they are no leaks of a test.
if not methods.forks then
  local mproc = require("mproc")
  mproc.set_start_method(methods.name)
  local p = mproc.Process(function() end):start()
  p:join()
  p:close()
end

return methods
