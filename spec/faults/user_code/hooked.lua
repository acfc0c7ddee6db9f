-- SPDX-License-Identifier: MIT
-- A class whose objects travel, and whose hooks act; a function that makes one of them.

local mproc = require("mproc")

local serial_number = 0
return function(encoding, decoding)
  local Class = {}
  serial_number = serial_number + 1
  Class.__mproc_encode = function(object)
    if encoding then encoding() end
    return { object.n }
  end
  mproc.register("user_code.Class" .. serial_number, Class, { decode = function(plain)
    if decoding then decoding() end
    return setmetatable({ n = plain[1] }, Class)
  end })
  return function(n) return setmetatable({ n = n }, Class) end
end
