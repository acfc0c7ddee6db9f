-- SPDX-License-Identifier: MIT
-- A helper of busted's: with MPROC_START_METHOD set, the processes of the specs start by that method (make
-- test-start-methods). Specs of what is fork's alone ask `forks`.

local method = os.getenv("MPROC_START_METHOD")
if method and method ~= "" then
  require("mproc").set_start_method(method)
end
