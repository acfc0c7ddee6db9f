-- SPDX-License-Identifier: MIT
-- Tasks in whose hands two worker programs have died already. Whoever runs one may die next, and then all that was in
-- hand with it would look as guilty. So a worker program runs one of them at a time, and tells the server which
-- before it begins: should it die, that one alone is charged. Used by worker/hand.lua.
--
-- State: w.suspects (chunks that wait), w.suspect (the one that is told or runs).

local suspects = {}

local FROM = 2 -- deaths

function suspects.is_one(chunk)
  return chunk.task.deaths >= FROM
end

-- Whether the death of a worker program that had told `info` (message.read_info, or nil) is the chunk's.
function suspects.is_to_blame(chunk, info)
  return not suspects.is_one(chunk) or info ~= nil and info.at == chunk.id
end

-- Tells of the first that waits, then runs it.
local function go_on(w)
  local chunk = table.remove(w.suspects, 1)
  w.suspect = chunk
  if chunk and not chunk.dropped and not chunk.gone then
    w.tell_of(function(told)
      if w.suspect ~= chunk then
        return
      elseif told then
        w.run(chunk)
      else -- not told, not run: the server gives it again
        w.suspect = nil
        w.forget(chunk)
      end
    end)
  elseif chunk then
    go_on(w)
  end
end

function suspects.add(w, chunk)
  w.suspects[#w.suspects + 1] = chunk
  if not w.suspect then
    go_on(w)
  end
end

-- The chunk has its result, or is in hand no more.
function suspects.ended(w, chunk)
  if w.suspect == chunk then
    go_on(w)
  end
end

return suspects
