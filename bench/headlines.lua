-- SPDX-License-Identifier: MIT
-- The rows of the README's chart, in groups: what each is called there, and its title in bench/results.json.

return {
  { "messages",
    { "round trip through two queues", "queue round trip, us" },
    { "integers, one put and get each", "integers, M/s" },
    { "integers, 100 at a time", "integers, batches of 100, M/s" },
    { "records of four fields", "{id=1,name=\"x\",tags={1,2,3}}, M/s" },
    { "strings of 1 KiB", "1 KiB strings, M/s" },
    { "strings of 1 MiB", "1 MiB strings, GB/s" },
  },
  { "pools",
    { "map, each item a task", "pool map, chunksize 1, M tasks/s" },
    { "apply", "apply (raw: a queue's trip), us" },
  },
  { "synchronisation",
    { "lock and unlock", "lock + unlock, ns" },
    { "add to a shared number", "v:add(1), M/s" },
    { "barrier of two", "barrier rounds of 2, k/s" },
  },
  { "start",
    { "start and join a process", "start + join, us" },
  },
}
