# SPDX-License-Identifier: MIT
# The same jobs with Perl's Hash::SharedMem, a tree in a mapped file: prints one number. Usage: shared_mem_side.pl JOB COUNT
use strict;
use warnings;

use File::Temp qw(tempdir);
use Hash::SharedMem qw(shash_open shash_get shash_set shash_cset);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($job, $count) = @ARGV;
my @keys = map { "key$_" } 1 .. 1000;
my $h = shash_open(tempdir(CLEANUP => 1) . '/hash', 'rwc');
shash_set($h, $keys[$_], "$_") for 0 .. 999;

my %jobs = (
  get => sub { shash_get($h, $keys[$_ % 1000]) for 1 .. $count },
  set => sub { shash_set($h, $keys[$_ % 1000], "$_") for 1 .. $count },
  add => sub {
    for my $i (1 .. $count) {
      my ($key, $old) = ($keys[$i % 1000]);
      do { $old = shash_get($h, $key) } until shash_cset($h, $key, $old, $old + 1);
    }
  },
);

my $began = clock_gettime(CLOCK_MONOTONIC);
$jobs{$job}->();
print $count / (clock_gettime(CLOCK_MONOTONIC) - $began) / 1e6, "\n";
