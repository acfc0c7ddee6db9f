-- SPDX-License-Identifier: MIT
-- What busted needs of the module "term", for interpreters that have no such module: scripts/reach.sh.

return { isatty = function() return false end }
