# SPDX-License-Identifier: MIT
# The same jobs with Perl's MCE: prints one number. Usage: mce_side.pl JOB COUNT [SIZE]
use strict;
use warnings;

use MCE::Channel;
use MCE::Map;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $small_table = { id => 1, name => 'x', tags => [ 1, 2, 3 ] };

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# Microseconds from send to the echo's answer, over two channels of one producer and one consumer.
sub round_trip {
  my ($count) = @_;
  my ($there, $back) = map { MCE::Channel->new(impl => 'Simple') } 1 .. 2;
  my $pid = fork() // die;
  if (!$pid) {
    while (defined(my $value = $there->recv)) { $back->send($value) }
    require POSIX;
    POSIX::_exit(0);
  }
  for my $i (1 .. 100) { $there->send($i); $back->recv }
  my $began = now();
  for my $i (1 .. $count) { $there->send($i); $back->recv }
  my $seconds = now() - $began;
  kill 'KILL', $pid;
  waitpid $pid, 0;
  return $seconds / $count * 1e6;
}

# Messages a second from a child.
sub one_way {
  my ($count, $value) = @_;
  my ($data, $go) = map { MCE::Channel->new(impl => 'Simple') } 1 .. 2;
  my $pid = fork() // die;
  if (!$pid) {
    $go->recv;
    for my $i (1 .. $count) { $data->send(defined $value ? $value : $i) }
    require POSIX;
    POSIX::_exit(0);
  }
  my $began = now();
  $go->send(1);
  $data->recv for 1 .. $count;
  my $seconds = now() - $began;
  waitpid $pid, 0;
  return $count / $seconds;
}

# The same, `size` integers at a time.
sub batches {
  my ($count, $size) = @_;
  my ($data, $go) = map { MCE::Channel->new(impl => 'Simple') } 1 .. 2;
  my $pid = fork() // die;
  if (!$pid) {
    my @list = 123456001 .. 123456000 + $size;
    $go->recv;
    $data->enqueue(@list) for 1 .. $count / $size;
    require POSIX;
    POSIX::_exit(0);
  }
  my $began = now();
  $go->send(1);
  for (1 .. $count / $size) { my @got = $data->dequeue($size) }
  my $seconds = now() - $began;
  waitpid $pid, 0;
  return $count / $seconds;
}

# Millions of tasks a second, each a chunk of its own.
sub pool_map {
  my ($count) = @_;
  MCE::Map->init(max_workers => 2, chunk_size => 1);
  my @warm = mce_map { $_ } 1 .. 200;
  my $began = now();
  my @all = mce_map { $_ } 1 .. $count;
  my $seconds = now() - $began;
  MCE::Map->finish;
  die "lost some" unless @all == $count;
  return $count / $seconds / 1e6;
}

# Millions of lines a second; its workers read the file themselves.
sub imap_lines {
  my ($path) = @_;
  MCE::Map->init(max_workers => 2, chunk_size => 'auto');
  my @warm = mce_map { length } 1 .. 200;
  my $began = now();
  my @all = mce_map_f { length } $path;
  my $seconds = now() - $began;
  MCE::Map->finish;
  return @all / $seconds / 1e6;
}

my %jobs = (
  round_trip => \&round_trip,
  integers => sub { one_way($_[0]) / 1e6 },
  batches => sub { batches(@_) / 1e6 },
  tables => sub { one_way($_[0], $small_table) / 1e6 },
  kib_strings => sub { one_way($_[0], 'x' x 1024) / 1e6 },
  mib_strings => sub { one_way($_[0], 'x' x (1 << 20)) * (1 << 20) / 1e9 },
  pool_map => \&pool_map,
  imap_lines => \&imap_lines,
);

my $job = shift @ARGV;
print $jobs{$job}->(@ARGV), "\n";
