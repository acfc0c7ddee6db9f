-- SPDX-License-Identifier: MIT
-- What the verbs read: files by ranges of bytes, which the workers read by themselves, and streams, of which the parent
-- reads blocks. Used by mproc.cli.stream; mproc.cli.block reads the ranges.
--
-- A range { file =, first =, last =, size = } owns the lines that begin at one of its bytes, counted from 0, `last`
-- included. A block { file =, text =, first = } has whole lines, the first of which begins at byte `first`.

local core = require("mproc.core")
local usage = require("mproc.cli.usage")

local input = {}

local STDIN = "(standard input)"
local READ_ON, READ_MOST = 4096, 1 << 20 -- bytes at a time, for the end of a range's last line: at first, at most

-- --- ranges, in a worker ---

local function read_at(file, position, n)
  assert(file:seek("set", position))
  return file:read(n) or ""
end

-- What follows up to the next ending, that included, from where the file stands.
local function read_to_ending(file, ending)
  local parts, n = {}, READ_ON
  repeat
    local part = file:read(n)
    if not part then
      break
    end
    n = math.min(2 * n, READ_MOST)
    local at = part:find(ending, 1, true)
    parts[#parts + 1] = at and part:sub(1, at) or part
  until at
  return table.concat(parts)
end

local function check_size(file, range)
  local size = file:seek("end")
  if size < range.size then
    error(("%s has shrunk from %d to %d bytes while it was read"):format(range.file, range.size, size), 0)
  end
end

-- The lines that begin in the range, and where the first one does.
local function lines_of(file, range, ending)
  local before = range.first > 0 and 1 or 0 -- a line begins behind an ending
  local text = read_at(file, range.first - before, range.last - range.first + 1 + before)
  if #text < range.last - range.first + 1 + before then
    error(("%s has shrunk while it was read"):format(range.file), 0)
  end
  local begins = 1
  if before == 1 then
    local at = text:find(ending, 1, true)
    if not at or at == #text then -- no line begins here; or it begins with the next range
      return "", range.first
    end
    begins = at + 1
  end
  if text:sub(-1) ~= ending then
    text = text .. read_to_ending(file, ending)
  end
  return text:sub(begins), range.first - before + begins - 1
end

-- A block for a range.
function input.read_range(range, ending)
  local file <close> = assert(io.open(range.file, "rb"))
  check_size(file, range)
  local text, first = lines_of(file, range, ending)
  return { file = range.file, text = text, first = first }
end

-- --- items, in the parent ---

local function each_range(path, size, block)
  for first = 0, size - 1, block do
    coroutine.yield({ file = path, first = first, last = math.min(first + block, size) - 1, size = size })
  end
end

-- Whole lines are sent: what stands behind the last ending of a block goes before the next one.
local function each_block(file, name, block, ending)
  local parts, first = {}, 0
  for part in function() return file:read(block) end do
    local at = part:reverse():find(ending, 1, true)
    if at then
      local cut = #part - at + 1
      parts[#parts + 1] = part:sub(1, cut)
      local text = table.concat(parts)
      coroutine.yield({ file = name, text = text, first = first })
      parts, first = { part:sub(cut + 1) }, first + #text
    else
      parts[#parts + 1] = part
    end
  end
  local rest = table.concat(parts)
  if rest ~= "" then
    coroutine.yield({ file = name, text = rest, first = first })
  end
end

local function open(path)
  local file, message = io.open(path, "rb")
  if not file then
    usage.fail("cannot read %s", message)
  end
  return file
end

local function is_regular(path)
  return path ~= "-" and core.kind_of_path(path) == "file"
end

-- Each file must be there before anything starts; a folder is none.
function input.check(paths)
  for _, path in ipairs(paths) do
    local kind, message = "other", nil
    if path ~= "-" then
      kind, message = core.kind_of_path(path)
    end
    if not kind then
      usage.fail("cannot read %s", message)
    elseif kind == "folder" then
      usage.fail("%s is a folder; name its files", path)
    elseif kind == "file" then
      open(path):close()
    end
  end
end

local function each_item(paths, block, ending)
  for _, path in ipairs(paths) do
    if is_regular(path) then
      local file <close> = open(path)
      local size = file:seek("end")
      each_range(path, size, block)
    elseif path == "-" then
      each_block(io.stdin, STDIN, block, ending)
    else
      local file <close> = open(path)
      each_block(file, path, block, ending)
    end
  end
end

-- An iterator of ranges and blocks; without paths, of standard input.
function input.items(paths, block, ending)
  paths = #paths > 0 and paths or { "-" }
  return coroutine.wrap(function()
    each_item(paths, block, ending)
  end)
end

-- How many bytes there are, or nil when that cannot be known.
function input.total(paths)
  local total = 0
  for _, path in ipairs(paths) do
    if not is_regular(path) then
      return nil
    end
    local file <close> = open(path)
    total = total + file:seek("end")
  end
  return #paths > 0 and total or nil
end

return input
