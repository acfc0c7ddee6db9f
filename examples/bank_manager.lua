-- SPDX-License-Identifier: MIT
-- A bank whose accounts live in a process of their own: its rules hold whoever calls, and a customer from another
-- program comes by a socket.

local mproc = require("mproc")

local Account = {}
Account.__index = Account

function Account:balance()
  return self.amount
end

function Account:deposit(amount)
  assert(amount > 0, "what is deposited must be more than nothing")
  self.amount = self.amount + amount
  return self.amount
end

function Account:withdraw(amount)
  if amount > self.amount then
    error({ code = "no money", missing = amount - self.amount })
  end
  self.amount = self.amount - amount
  return self.amount
end

-- An object that makes use of proxies: within the manager its calls are plain ones, and nobody comes between them.
local transfers = { count = 0 }

function transfers:move(amount, from, to)
  from:withdraw(amount)
  to:deposit(amount)
  self.count = self.count + 1
  return self.count
end

local bank <close> = assert(mproc.Manager({
  constructors = { Account = function(amount) return setmetatable({ amount = amount }, Account) end },
  objects = { transfers = transfers },
  address = "localhost:0", authkey = "our secret", name = "bank",
}))

local alice, bob = bank:create("Account", 100), bank:create("Account", 100)

-- Four tellers move money to and fro; not a penny is lost.
local tellers = {}
for i = 1, 4 do
  tellers[i] = mproc.Process(function()
    local desk = bank:get("transfers")
    for _ = 1, 50 do
      if i % 2 == 0 then
        pcall(desk.move, desk, 3, alice, bob)
      else
        pcall(desk.move, desk, 3, bob, alice)
      end
    end
  end):start()
end
for _, teller in ipairs(tellers) do
  teller:join()
end
print("together", alice:balance() + bob:balance())

-- Somebody from elsewhere.
local customer = mproc.Process(function()
  local far <close> = assert(mproc.connect(bank.address, { authkey = "our secret" }))
  local account = far:create("Account", 10)
  local ok, err = pcall(account.withdraw, account, 50)
  print("a stranger's account", account:deposit(5), ok, err.code, err.missing)
end):start()
customer:join()

-- The bank is robbed.
os.execute("kill -KILL " .. bank.pid)
local ok, err = pcall(alice.balance, alice)
print("afterwards", ok, err.kind)
