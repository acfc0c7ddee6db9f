-- SPDX-License-Identifier: MIT
-- A lock whose owner dies in the middle of a transfer: the next one learns it, and sets the books right.

local mproc = require("mproc")

local lock = mproc.Lock()
local accounts = mproc.Array("integer", { 1000, 1000 })
local journal = mproc.Array("integer", 3) -- from, to, amount: what is under way, or amount 0

-- With the lock held: undoes a transfer that its process did not live to end.
local function repair()
  local from, to, amount = table.unpack(journal:totable())
  if amount ~= 0 then
    accounts[from] = 2000 - accounts[to] -- both sides together never change
    journal[3] = 0
  end
  return amount
end

local function transfer(from, to, amount, die)
  local _, abandoned = lock:acquire()
  if abandoned then
    print("the last owner died within a transfer of " .. repair())
  end
  journal:set(1, { from, to, amount })
  accounts[from] = accounts[from] - amount
  if die then
    os.exit(9)
  end
  accounts[to] = accounts[to] + amount
  journal[3] = 0
  lock:release()
end

local unlucky = mproc.Process(transfer, 1, 2, 300, true):start()
unlucky:join()
print("exit code " .. unlucky.exitcode .. ", together " .. accounts[1] + accounts[2])

transfer(2, 1, 50)
print("accounts " .. accounts[1] .. " and " .. accounts[2] .. ", together " .. accounts[1] + accounts[2])
