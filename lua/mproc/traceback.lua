-- SPDX-License-Identifier: MIT
-- Where pools still look for it.

return require("mproc.process.traceback")
