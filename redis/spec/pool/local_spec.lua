local far_pool = require("redis.spec.support.far_pool")
describe("far", function()
setup(far_pool.start) teardown(far_pool.stop)
for _, n in ipairs{"calls","apply","future","stream","pool"} do far_pool.declare("spec/pool/" .. n .. "_spec.lua", nil, _ENV) end
end)
