# SPDX-License-Identifier: MIT
# The same jobs with Ruby's parallel: prints one number. Usage: parallel_side.rb JOB COUNT
# It forks its workers at each call of map, so it has no call of one task that could be compared.

require "parallel"

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# Millions of tasks a second, the fork of two workers included.
def pool_map(count)
  began = now
  raise unless Parallel.map(1..count, in_processes: 2) { |x| x }.size == count
  count / (now - began) / 1e6
end

puts send(ARGV[0], Integer(ARGV[1]))
