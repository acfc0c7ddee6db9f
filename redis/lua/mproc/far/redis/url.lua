-- SPDX-License-Identifier: MIT
-- Where a queue is: addresses read and checked. Used by all of mproc.far.redis.
-- Invariant: user and password stand in a target's own fields alone; `shown`, which messages have, is without them.
--
--   redis://[user[:password]@]host[:port][/db][?queue=name&version=v]
--   rediss://…                          the same over TLS; cafile=, cert=, key=, servername=, verify=none
--   redis+sentinel://host[:port],host[:port]/name[/db][?…]      user and password are the server's, not the sentinels'
--   redis+unix:///path/of/socket[?db=0&…]
--
-- A target: scheme, tls, host, port, path, sentinels (a list of { host, port }), master, user, password, db, queue
-- (its name, with @version if there is one), shown, and the options of TLS.

local check = require("mproc.check")

local url = {}

local PORT, SENTINEL_PORT, PORT_MAX = 6379, 26379, 65535
local DEFAULT_QUEUE = "default"
local ENVIRONMENT = "MPROC_URL"
local SCHEMES = { "redis", "rediss", "redis+sentinel", "redis+unix" }
local OPTIONS = { "queue", "version", "db", "cafile", "cert", "key", "servername", "verify" }

-- --- parts ---

local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do
    set[name] = true
  end
  return set
end

local IS_SCHEME, IS_OPTION = set_of(SCHEMES), set_of(OPTIONS)

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- host, port; or nil and what is wrong. IPv6 stands in brackets.
local function read_place(text, default)
  local host, port = text:match("^%[([%x:.]+)%]:?(%d*)$")
  if not host then
    host, port = text:match("^([^:%[%]/@]+):?(%d*)$")
  end
  if not host then -- what stands there is not repeated: it may be a part of a password
    return nil, "it has no host, or host:port (in user and password, write % / ? @ : as %25 %2F %3F %40 %3A)"
  end
  port = port == "" and default or math.tointeger(tonumber(port))
  if port < 1 or port > PORT_MAX then
    return nil, ("there is no port %d"):format(port)
  end
  return host, port
end

local function read_places(text)
  local places = {}
  for part in text:gmatch("[^,]+") do
    local host, port = read_place(part, SENTINEL_PORT)
    if not host then
      return nil, port
    end
    places[#places + 1] = { host = host, port = port }
  end
  if not places[1] then
    return nil, "it names no host"
  end
  return places
end

-- "user:password@" in front of the host. Redis' old form has a password alone: ":password@".
local function read_user(target, text)
  local who, rest = text:match("^(.*)@([^@]*)$")
  if not who then
    return text
  end
  local user, password = who:match("^([^:]*):?(.*)$")
  target.user, target.password = unescape(user), unescape(password)
  return rest
end

local function read_options(target, text)
  for part in text:gmatch("[^&]+") do
    local name, value = part:match("^([%w_]+)=(.*)$")
    if not name or part:find("@", 1, true) and not IS_OPTION[name] then
      return "options are written name=value, with & between them"
    elseif not IS_OPTION[name] then
      local near = check.nearest(name, OPTIONS)
      return ("there is no option '%s'%s"):format(name, near and ("; did you mean '%s'?"):format(near) or "")
    end
    target[name] = unescape(value)
  end
end

-- The number of the database; nil and "" are 0.
local function read_db(target, text)
  text = (text or "") == "" and "0" or text
  target.db = text:find("^%d+$") and math.tointeger(tonumber(text))
  if not target.db then
    return "what stands behind the host's / is no number of a database"
  end
end

-- --- the whole ---

local function name_queue(target)
  local queue = target.queue or DEFAULT_QUEUE
  if target.version and target.version ~= "" then
    queue = queue .. "@" .. target.version
  end
  if queue == "" or queue:find("[{}%c%s]") then
    return ("'%s' is no name of a queue: it may have no braces, blanks or control characters"):format(queue)
  end
  target.queue = queue
end

local function show(target, places)
  local first = target.master and "/" .. target.master or ""
  local db = target.db > 0 and "/" .. target.db or ""
  return ("%s://%s%s%s?queue=%s"):format(target.scheme, places, first, db, target.queue)
end

local readers = {}

function readers.redis(target, places, path)
  target.host, target.port = read_place(places, PORT)
  if not target.host then
    return target.port
  end
  return read_db(target, target.db or path)
end

readers.rediss = readers.redis

readers["redis+sentinel"] = function(target, places, path)
  local sentinels, message = read_places(places)
  local master, db = path:match("^([^/]+)/?(.*)$")
  if not sentinels or not master then
    return message or "the master's name is missing, as in redis+sentinel://host1,host2/name"
  end
  target.sentinels, target.master = sentinels, unescape(master)
  return read_db(target, target.db or db)
end

readers["redis+unix"] = function(target, places, path)
  if places ~= "" or path == "" then
    return "the socket's path is missing, as in redis+unix:///run/redis.sock"
  end
  target.path = "/" .. unescape(path)
  return read_db(target, target.db)
end

local function parse(text)
  local scheme, rest = text:match("^([%a+]+)://(.*)$")
  if not IS_SCHEME[scheme] then
    return nil, ("it begins with none of %s://"):format(table.concat(SCHEMES, "://, "))
  end
  local target = { scheme = scheme, tls = scheme == "rediss" }
  local before, options = rest:match("^([^?]*)%??(.*)$")
  local wrong = read_options(target, options)
  local places, path = before:match("^([^/]*)/?(.*)$")
  places = read_user(target, places)
  wrong = wrong or readers[scheme](target, places, path) or name_queue(target)
  if wrong then
    return nil, wrong
  end
  target.shown = show(target, scheme == "redis+unix" and target.path or places)
  return target
end

-- A target; or nil and what is wrong with the address, which is not repeated there: it may hold a password. text:
-- nil for what MPROC_URL has. version: takes the place of the address's own.
function url.parse(text, version)
  local from = text and "the address" or ENVIRONMENT
  text = text or os.getenv(ENVIRONMENT)
  if type(text) ~= "string" then
    return nil, ("an address is wanted, as in redis://host/0?queue=name, here or in %s"):format(ENVIRONMENT)
  end
  if version then
    text = text .. (text:find("?", 1, true) and "&" or "?") .. "version=" .. version
  end
  local target, message = parse(text)
  if not target then
    return nil, ("%s is no place of a queue: %s"):format(from, message)
  end
  return target
end

return url
