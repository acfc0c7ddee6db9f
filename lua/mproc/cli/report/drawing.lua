-- SPDX-License-Identifier: MIT
-- A timeline in words, and as a drawing (SVG, without a script). Used by mproc.cli.report.

local drawing = {}

local WIDTH, LABEL, ROW, GAP, TOP = 800, 150, 18, 4, 24
local LINE = 16 -- of text
local LEAST = 0.5 -- narrower boxes are drawn together
local COLOURS = { "#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377" }

local function of_seconds(s)
  return s < 0.001 and ("%d µs"):format(s * 1e6 // 1) or s < 1 and ("%.1f ms"):format(s * 1e3) or ("%.2f s"):format(s)
end

local function percent(x)
  return ("%d%%"):format((100 * x + 0.5) // 1)
end

-- --- words ---

local function head(all)
  if #all.workers == 0 then
    return { ("%d process%s, %s; no pool ran a task"):format(#all.rows, #all.rows == 1 and "" or "es",
      of_seconds(all.to - all.from)) }
  end
  return {
    ("%d items in %d messages by %d workers, in %s"):format(all.items, all.chunks, #all.workers,
      of_seconds(all.to - all.from)),
    ("%s of the workers' time was working, from the first message to the last"):format(percent(all.used)),
    ("serial: for %s at most one process worked (%s)"):format(of_seconds(all.serial),
      percent(all.serial / (all.to - all.from))),
    ("imbalance at the end: %s"):format(of_seconds(all.imbalance)),
  }
end

-- The summary's lines; the words are those of pool:insights().
function drawing.words(all)
  local lines = head(all)
  for i, wait in ipairs(all.waits) do
    lines[#lines + 1] = ("%s %s (pid %d) %s, for %s"):format(i == 1 and "longest waits:" or "              ",
      wait.row.name, wait.row.pid, wait.name, of_seconds(wait.to - wait.from))
  end
  for _, instant in ipairs(all.instants) do
    lines[#lines + 1] = ("at %s: %s"):format(of_seconds(instant.at - all.from), instant.name)
  end
  return lines
end

-- --- drawing ---

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function escape(text)
  return (text:gsub('[&<>"]', ENTITIES):gsub("%c", " "))
end

local function text_at(x, y, text, more)
  return ('<text x="%.1f" y="%.1f"%s>%s</text>'):format(x, y, more or "", escape(text))
end

local function box_at(x, y, width, height, fill, title)
  return ('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>'):format(x, y,
    math.max(width, LEAST), height, fill, escape(title))
end

-- Boxes that would lie on the same half pixel are one.
local function draw_boxes(parts, all, boxes, y, height, fill)
  local scale = (WIDTH - LABEL) / (all.to - all.from)
  local drawn_to = -math.huge
  table.sort(boxes, function(a, b) return a.from < b.from end)
  for _, box in ipairs(boxes) do
    local x, width = LABEL + (box.from - all.from) * scale, (box.to - box.from) * scale
    if x + width >= drawn_to + LEAST then
      parts[#parts + 1] = box_at(x, y, width, height, fill(box), ("%s, %s"):format(box.name,
        of_seconds(box.to - box.from)))
      drawn_to = x + width
    end
  end
end

-- A colour for each function.
local function palette()
  local of, n = {}, 0
  return function(box)
    if not of[box.name] then
      n = n + 1
      of[box.name] = COLOURS[(n - 1) % #COLOURS + 1]
    end
    return of[box.name]
  end
end

local function draw_row(parts, all, row, y, fill)
  local scale = (WIDTH - LABEL) / (all.to - all.from)
  local label = row.working and ("%s  %s"):format(row.name, percent(row.working / math.max(row.to - row.from, 1e-9)))
    or row.name
  parts[#parts + 1] = text_at(0, y + ROW - 5, label)
  if row.to >= row.from then
    parts[#parts + 1] = box_at(LABEL + (row.from - all.from) * scale, y, (row.to - row.from) * scale, ROW, "#eeeeee",
      ("%s, pid %d"):format(row.name, row.pid))
  end
  draw_boxes(parts, all, row.waits, y + ROW - 3, 3, function() return "#bbbbbb" end)
  draw_boxes(parts, all, row.chunks, y, ROW - 4, fill)
end

local function draw_axis(parts, all, bottom)
  for i = 0, 4 do
    local x = LABEL + (WIDTH - LABEL) * i / 4
    parts[#parts + 1] = ('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#cccccc"/>'):format(x, TOP - 6, x, bottom)
    parts[#parts + 1] = text_at(x, TOP - 10, of_seconds((all.to - all.from) * i / 4),
      i == 4 and ' text-anchor="end"' or i > 0 and ' text-anchor="middle"' or "")
  end
end

-- The whole drawing: a row for each process, and below them the words.
function drawing.svg(all)
  local words, parts, fill = drawing.words(all), {}, palette()
  local bottom = TOP + #all.rows * (ROW + GAP)
  local height = bottom + 8 + #words * LINE
  parts[1] = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
    .. 'font-family="sans-serif" font-size="11">'):format(WIDTH, height, WIDTH, height)
  parts[2] = ('<rect width="%d" height="%d" fill="#ffffff"/>'):format(WIDTH, height)
  draw_axis(parts, all, bottom)
  for i, row in ipairs(all.rows) do
    draw_row(parts, all, row, TOP + (i - 1) * (ROW + GAP), fill)
  end
  for i, line in ipairs(words) do
    parts[#parts + 1] = text_at(0, bottom + 4 + i * LINE, line, ' xml:space="preserve"')
  end
  parts[#parts + 1] = "</svg>\n"
  return table.concat(parts, "\n")
end

return drawing
