-- SPDX-License-Identifier: MIT
-- An error out of nowhere at any instruction of a call of descriptors, sockets and managers: no file stays open, no
-- process runs on, no message is lost or doubled, and the next call works.

local scenarios = require("spec.faults.raise.specs")

describe("an error out of nowhere in what leaves the process:", function()
  scenarios("outside", 3)
end)
