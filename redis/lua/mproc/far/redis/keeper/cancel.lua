-- SPDX-License-Identifier: MIT
-- Jobs that are called off: their chunks come back from the server, as far as no machine has fetched them. Used by
-- mproc.far.redis.keeper alone. The states of a cancel flag stand in mproc.pool.protocol.
--
-- A question (the owner's cancel(), which has set the flag to ASKED): chunks of the job that are at the server are
-- cancelled there one by one; { flag, left (not known yet), taken (chunks that came back), fetched (one was not to be
-- had) }. If some machine has fetched a chunk, those that came back are sent again.

local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local protocol = lazy.load("mproc.pool.protocol")

local cancel = {}

local ASKED, BEGUN, CANCELLED = protocol.ASKED, protocol.BEGUN, protocol.CANCELLED

-- Whether nobody wants it any more.
function cancel.is_called_off(self, chunk)
  return chunk.flag ~= 0 and self.slot.flags.array[chunk.flag] == CANCELLED
end

-- done(1): it came back; done(0): it did not.
local function take_back(self, chunk, done)
  if not chunk.is_sent then
    return done(1)
  elseif not chunk.id then
    return done(0)
  end
  local sent = self.out:script(function(reply)
    done(reply == 1 and 1 or 0)
  end, "cancel", { self.keys.tasks }, { chunk.id })
  if not sent then
    done(0)
  end
end

-- --- jobs that have ended ---

-- Looks for chunks of jobs that were called off, whoever runs them.
function cancel.look(self)
  local book = self.book
  for _, chunk in pairs(book.chunks) do
    if not chunk.is_stopping and cancel.is_called_off(self, chunk) and (chunk.id or not chunk.is_sent) then
      chunk.is_stopping = true
      self.stopping = self.stopping or {}
      table.insert(self.stopping, chunk)
    end
  end
  local list = self.stopping or {}
  self.stopping = nil
  for _, chunk in ipairs(list) do
    take_back(self, chunk, function(came_back)
      if came_back == 1 and book.chunks[chunk.k] == chunk then
        book:skip(chunk)
      end
    end)
  end
end

-- --- questions ---

local function conclude(self, question)
  local book, array = self.book, self.slot.flags.array
  local off = not question.fetched and array:compare_exchange(question.flag, ASKED, CANCELLED)
  for _, chunk in ipairs(question.taken) do
    if book.chunks[chunk.k] == chunk and off then
      book:skip(chunk)
    elseif book.chunks[chunk.k] == chunk and chunk.is_sent then
      book:put_off(chunk)
    end
  end
  if not off then
    array:compare_exchange(question.flag, ASKED, BEGUN)
  end
end

local function ask(self, flag)
  local question, chunks = { flag = flag, left = 1, taken = {}, fetched = false }, {}
  for _, chunk in pairs(self.book.chunks) do
    if chunk.flag == flag then
      chunks[#chunks + 1] = chunk
    end
  end
  local function note(chunk, came_back)
    question.left = question.left - 1
    if chunk and came_back == 1 then
      table.insert(question.taken, chunk)
    elseif chunk then
      question.fetched = true
    end
    if question.left == 0 then
      conclude(self, question)
    end
  end
  for _, chunk in ipairs(chunks) do
    question.left = question.left + 1
    take_back(self, chunk, function(came_back) note(chunk, came_back) end)
  end
  note(nil)
end

-- Answers what was asked.
function cancel.answer(self)
  for _, flag in ipairs(self.notices:take_asked()) do
    ask(self, flag)
  end
end

return cancel
