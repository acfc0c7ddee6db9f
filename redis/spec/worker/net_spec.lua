-- SPDX-License-Identifier: MIT
-- Worker programs behind bad networks, TLS, access lists, full servers, and sentinels.
local mproc = require "mproc"
local owner = require "redis.spec.support.owner"
local program = require "redis.spec.support.program"
local proxy = require "redis.spec.support.proxy"
local server = require "redis.spec.support.server"
local session = require "mproc.far.redis.session"
local url = require "mproc.far.redis.url"

if not server.there() then
  pending("networks: skipped, there is no redis-server here")
  return
end

local WORDS = "-j 1 --allow 'far_tasks.*' --lease 1 "

local function numbers(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

describe("behind a bad network", function()
  local s, p, o, w
  before_each(function()
    s = server.start()
    p = proxy.start(s.port)
    o = owner.new(s)
    w = program.start(p.url, WORDS)
  end)
  after_each(function()
    w:stop()
    p:stop()
    s:stop()
  end)

  it("50 ms each way are hidden by more prefetch", function()
    p:delay(0.05)
    mproc.sleep(1)
    o:values(o:map("double", { 1 }))
    local began = mproc.time()
    for _ = 1, 150 do
      o:map("sleep", { 0.01 })
    end
    o:await(30)
    local took = mproc.time() - began
    local info = table.concat(s:call("HGETALL", o.keys.info), " ")
    assert.is_true(tonumber(info:match("prefetch=(%d+)")) > 8, info)
    assert.is_true(took < 150 * 2 * 0.05 / 1.5, ("150 tasks of 10 ms took %.1f s"):format(took)) -- 1.6 s on an idle CPU
  end)

  it("replies that end in the middle cost no result", function()
    local sums = {}
    for round = 1, 12 do
      for i = 1, 6 do
        sums[#sums + 1] = o:map("double", numbers(i))
      end
      p:cut(round * 7 % 60)
      mproc.sleep(0.02)
    end
    o:await(30)
    for at, k in ipairs(sums) do
      assert.equal(2, o.found[k][1][1], at)
    end
  end)

  it("one that swallows everything ends the session after a lease, and work goes on when it does not", function()
    o:values(o:map("double", { 1 }))
    p:swallow(true)
    o:map("double", { 2 })
    w:await("no connection to")
    p:swallow(false)
    o:await(20)
    assert.is_true(w:runs())
  end)
end)

describe("TLS", function()
  local s, folder
  setup(function()
    folder = server.output_of("mktemp -d /tmp/mproc-tls-XXXXXX")
    assert(os.execute(("cd %s && { openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 1 "
      .. "-subj /CN=ca"
      .. " && openssl req -newkey rsa:2048 -nodes -keyout s.key -out s.csr -subj /CN=server"
      .. " && printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext"
      .. " && openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem -days 1 -extfile ext"
      .. "; } >/dev/null 2>&1"):format(folder)))
    local tls_port = server.free_port()
    s = server.start { "--tls-port", tls_port, "--tls-cert-file", folder .. "/s.pem", "--tls-key-file",
      folder .. "/s.key", "--tls-ca-cert-file", folder .. "/ca.pem", "--tls-auth-clients", "no" }
    s.tls = ("rediss://127.0.0.1:%d/0?queue=spec"):format(tls_port)
    s.tls_port = tls_port
  end)
  teardown(function()
    s:stop()
    os.execute("rm -rf " .. folder)
  end)

  it("carries tasks when the server's certificate is good", function()
    local o = owner.new(s)
    local w = program.start(s.tls .. "&cafile=" .. folder .. "/ca.pem", WORDS)
    local big = o:map("big", { 300000, 1 })
    assert.equal(300000, #o:values(big)[1])
    for i = 1, 50 do
      o:map("double", { i })
    end
    o:await()
    o:vanish()
    w:stop()
  end)

  local function refused(address)
    local one = session.new(assert(url.parse(address)))
    local reply, text, kind = one:call(5, "PING")
    one:close()
    assert.is_nil(reply)
    assert.equal("refused", kind)
    return text
  end

  it("refuses a certificate that nobody has vouched for, or that is for another host", function()
    assert.truthy(refused(s.tls):find("certificate", 1, true))
    local other = s.tls .. "&cafile=" .. folder .. "/ca.pem&servername=other.example"
    assert.truthy(refused(other):find("is not for other.example", 1, true))
  end)

  it("takes any when it is told to, and a name that is in the certificate", function()
    for _, more in ipairs { "&verify=none", "&servername=localhost&cafile=" .. folder .. "/ca.pem" } do
      local one = session.new(assert(url.parse(s.tls .. more)))
      assert.equal("PONG", one:call(5, "PING"))
      one:close()
    end
  end)
end)

-- As docs and examples have them.
local WORKER_RIGHTS = "+xreadgroup +xgroup|create +xgroup|delconsumer +xack +xdel +xadd +xpending +xclaim +xrange "
  .. "+xinfo|consumers +exists +hset +hget +hdel +zadd +zrem +zscore +time +evalsha +script|load"

describe("an access list", function()
  local s
  setup(function()
    s = server.start()
    local words = { "ACL", "SETUSER", "worker", "on", ">se:cret", "~{mp:spec}:*" }
    for word in WORKER_RIGHTS:gmatch("%S+") do
      words[#words + 1] = word
    end
    s:call(table.unpack(words))
    s.worker = ("redis://worker:se%%3Acret@127.0.0.1:%d/0?queue=spec"):format(s.port)
  end)
  teardown(function() s:stop() end)

  it("of what a worker needs lets it work, take over from the dead, split and leave", function()
    local o = owner.new(s)
    local a = program.start(s.worker, WORDS)
    local k = o:map("kill_supervisor", { 1, 3, 2 })
    assert.is_true(a:ended(10))
    local b = program.start(s.worker, WORDS)
    assert.is_true(b:ended(10))
    local c = program.start(s.worker, WORDS)
    assert.is_true(c:ended(10))
    local d = program.start(s.worker, WORDS)
    o:await(10)
    assert.same({ 1, 2 }, { o.found[k][1][1], o.found[k][3][1] })
    assert.equal("worker_died", o.found[k][2][1].kind)
    assert.is_nil(d:text():find("NOPERM", 1, true), d:text())
    o:vanish()
    d:stop()
    for _, key in ipairs(s:keys()) do -- without the right to delete, the empty stream stays
      assert.equal(o.keys.tasks, key)
    end
    for _, each in ipairs { a, b, c } do
      each:stop()
    end
  end)

  it("is checked by --check, which names what is missing", function()
    local function check()
      return server.output_of(("LUA_PATH='%s' %s bin/mproc worker --check '%s' 2>&1; echo status $?"):format(
        package.path, os.getenv("LUA") or "lua5.4", s.worker))
    end
    assert.truthy(check():find("rights      all that a worker needs\n.*status 0$"))
    s:call("ACL", "SETUSER", "worker", "-xclaim", "-zscore")
    local said = check()
    assert.truthy(said:find("rights      missing: xclaim zscore", 1, true), said)
    assert.truthy(said:find("status 1$"))
    s:call("ACL", "SETUSER", "worker", "+xclaim", "+zscore")
  end)

  it("keeps a worker from other queues", function()
    local other = s.worker:gsub("queue=spec", "queue=other")
    local w = program.launch(other, WORDS)
    assert.is_true(w:ended(10))
    assert.truthy(w:text():find("NOPERM", 1, true), w:text())
    assert.is_nil(w:text():find("cret", 1, true))
    w:stop()
  end)
end)

describe("a server that is full", function()
  it("gets results once there is room again", function()
    local s = server.start()
    local o = owner.new(s)
    local w = program.start(s.url, WORDS)
    local k = o:call("sleep", 0.3)
    local fill = o:map("double", { 1 })
    o.items = o.items
    s:call("SET", "ballast", ("x"):rep(4 << 20))
    mproc.sleep(0.1)
    s:call("CONFIG", "SET", "maxmemory", "3mb")
    mproc.sleep(0.5)
    s:call("CONFIG", "SET", "maxmemory", 0)
    o:await(10)
    assert.same({ 0.3 }, o:values(k))
    assert.same({ 2 }, o:values(fill))
    assert.is_true(w:runs())
    o:vanish()
    w:stop()
    s:stop()
  end)
end)

describe("a cluster", function()
  it("has a worker program go where MOVED sends it", function()
    if server.version() < 7 then
      return pending("skipped, this server's cluster cannot be given a port")
    end
    local buses, nodes = { server.free_port(), server.free_port() }, {}
    for i, bus in ipairs(buses) do
      nodes[i] = server.start { "--cluster-enabled", "yes", "--cluster-port", bus }
    end
    local a, b = nodes[1], nodes[2]
    a:call("CLUSTER", "MEET", "127.0.0.1", b.port, buses[2])
    b:call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    local deadline = mproc.time() + 20
    for _, node in ipairs(nodes) do
      while not node:call("CLUSTER", "INFO"):find("cluster_state:ok", 1, true) do
        assert(mproc.time() < deadline, "the cluster does not come up")
        mproc.sleep(0.05)
      end
    end
    local o = owner.new(b)
    local w = program.start(a.url, WORDS)
    assert.same({ 2, 4, 6 }, o:values(o:map("double", { 1, 2, 3 })))
    o:vanish()
    w:stop()
    assert.same({}, b:keys())
    a:stop()
    b:stop()
  end)
end)

describe("sentinels", function()
  it("lead a worker program to the new master", function()
    if not os.execute("command -v redis-sentinel >/dev/null") then
      return pending("skipped, there is no redis-sentinel here")
    end
    local master = server.start()
    local replica = server.start { "--replicaof", "127.0.0.1", master.port }
    local folder, port = server.output_of("mktemp -d /tmp/mproc-sentinel-XXXXXX"), server.free_port()
    local file <close> = assert(io.open(folder .. "/sentinel.conf", "w"))
    file:write(("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main 127.0.0.1 %d 1\n"
      .. "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"):format(port, folder,
      master.port))
    file:close()
    local pid = server.output_of(("{ redis-sentinel %s/sentinel.conf >/dev/null 2>&1 </dev/null & echo $!; }"):format(
      folder))
    local deadline = mproc.time() + 10
    repeat
      mproc.sleep(0.05)
    until replica:call("INFO", "replication"):find("master_link_status:up", 1, true) or mproc.time() > deadline
    local address = ("redis+sentinel://127.0.0.1:1,127.0.0.1:%d/main/0?queue=spec"):format(port)
    local o = owner.new(master)
    local w = program.start(address, WORDS)
    o:values(o:map("double", { 1 }))
    local look = session.new(assert(url.parse(("redis://127.0.0.1:%d"):format(port))))
    repeat -- the sentinel knows the replica
      mproc.sleep(0.1)
      local known = look:call(5, "SENTINEL", "REPLICAS", "main")
    until known and known[1] or mproc.time() > deadline + 20
    master:kill()
    local fresh
    repeat
      mproc.sleep(0.05)
      local at = look:call(5, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
      fresh = at and tonumber(at[2]) == replica.port
    until fresh or mproc.time() > deadline + 30
    assert.is_true(fresh, "the sentinel has not chosen the replica")
    local told, said
    repeat -- it closes connections when it becomes the master
      mproc.sleep(0.05)
      told, said = pcall(replica.call, replica, "INFO", "replication")
    until told and said:find("role:master", 1, true)
    local after = owner.new(replica)
    assert.same({ 4 }, after:values(after:map("double", { 2 }), 15))
    look:close()
    w:stop()
    os.execute("kill -9 " .. pid)
    os.execute("rm -rf " .. folder)
    master:stop()
    replica:stop()
  end)
end)
