-- SPDX-License-Identifier: MIT
-- The scheme rediss: the same as redis, whose addresses say whether TLS is wanted. Loaded by mproc for such an address.

return require("mproc.far.redis")
