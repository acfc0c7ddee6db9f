-- SPDX-License-Identifier: MIT
-- A log file shared by four processes that run already: one opens it, the others get it by a queue. It is opened for
-- appending, so each write lands whole at the end. Prints how many whole lines there are.

local mproc = require("mproc")

local WRITERS, LINES = 4, 100

local files = mproc.Queue()

local function write(name)
  local descriptor <close> = files:get()
  local log <close> = descriptor:file("a")
  log:setvbuf("line")
  for i = 1, LINES do
    log:write(("%s: line %d of %d\n"):format(name, i, LINES))
  end
end

local writers = {}
for i = 1, WRITERS do
  writers[i] = mproc.Process({ target = write, args = { "writer " .. i } }):start()
end

local path = os.tmpname() -- a name that no writer knows
do
  local file <close> = assert(io.open(path, "a"))
  local descriptor <close> = mproc.fd(file)
  for _ = 1, WRITERS do
    files:put(descriptor)
  end
end

for _, writer in ipairs(writers) do
  writer:join()
end

local whole = 0
for line in io.lines(path) do
  if line:find("^writer %d: line %d+ of 100$") then
    whole = whole + 1
  end
end
os.remove(path)
print(("%d whole lines by %d processes"):format(whole, WRITERS))
