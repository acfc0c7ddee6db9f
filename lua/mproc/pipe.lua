-- SPDX-License-Identifier: MIT
-- How pipes are made; what their ends, the connections, do is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local pipe = {}

local function read_options(given)
  for key in pairs(given) do
    if key ~= "duplex" then
      errors.raise("unknown option %s; a pipe has duplex", errors.show(key))
    end
  end
  return given.duplex
end

-- Pipe(), Pipe(false) or Pipe{ duplex = false }: two connections, or nil, message, NAME. Both send and receive;
-- without duplex the first only receives and the second only sends.
function pipe.Pipe(duplex)
  if type(duplex) == "table" and not getmetatable(duplex) then
    duplex = read_options(duplex)
  end
  if duplex == nil then
    duplex = true
  elseif type(duplex) ~= "boolean" then
    errors.raise("duplex must be true (both ends do both) or false (the first receives, the second sends), got %s",
      errors.show(duplex))
  end
  return core.pipe(duplex)
end

return pipe
