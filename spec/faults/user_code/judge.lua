-- SPDX-License-Identifier: MIT
-- What a program of these specs came to: it ends with the status `leaves`, or, without that, says that all is well.

return function(r, leaves)
  if leaves then
    if r.code ~= leaves or r.timed_out and leaves ~= 137 then
      error(("ends with status %d instead of %d\n%s%s"):format(r.code, leaves, r.out, r.err), 0)
    end
  elseif r.timed_out then
    error("hangs\n" .. r.out .. r.err, 0)
  elseif r.out ~= "well\n" or r.code ~= 0 then
    error(("status %d\n%s%s"):format(r.code, r.out, r.err), 0)
  end
end
