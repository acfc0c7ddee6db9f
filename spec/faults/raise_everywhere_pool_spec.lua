-- SPDX-License-Identifier: MIT
-- An error out of nowhere (Ctrl-C, a hook that ends what takes too long) at any instruction of a call of a pool or a
-- future: what was given before has its result once, no item is done twice, the next call works, the pool can be
-- joined, and no worker is left.

local scenarios = require("spec.faults.raise.specs")

describe("an error out of nowhere in pools:", function()
  scenarios("pool", 3)
end)
