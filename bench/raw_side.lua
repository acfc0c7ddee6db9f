-- SPDX-License-Identifier: MIT
-- fork and waitpid from an interpreter that has never heard of mproc: microseconds each.

package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath
local raw = require("raw")

local COUNT = tonumber(arg[1])
raw.fork_wait(20)
print(raw.fork_wait(COUNT) / COUNT * 1e6)
