/* SPDX-License-Identifier: MIT */
/*
 * Processes, as the system knows them (layer 0): making, ending, waiting, and what a fresh child must put right.
 * Called by src/shm/children.c and by L3. Knows neither Lua nor the arena.
 * Invariant: functions return 0, a count or a descriptor, or -errno; descriptors made here are close-on-exec.
 */
#ifndef MP_OS_PROCESS_H
#define MP_OS_PROCESS_H

#include <signal.h>

#include "os/os.h"

#pragma GCC visibility push(hidden)

/* process.c */
/* fork() after everything buffered has been written. SIGINT, SIGTERM and SIGCHLD are held back meanwhile; the
 * child has them unblocked, with their default action, before it can receive one. 0 in the child, else pid, -errno. */
pid_t mp_os_fork(void);
/* Whether a child that executes a program begins with that signal at its default action; else as its parent has it. */
bool mp_os_signal_is_reset(int sig);
/* The signals that such a child has blocked. */
void mp_os_child_mask(const sigset_t *parents, sigset_t *to);
/* Without waiting: 1 and waitpid's *status when the child has ended (it is reaped by this), 0 while it runs,
 * -ECHILD when it has ended and somebody else took the status. */
int mp_os_reap(pid_t pid, int *status);
/* The same for any child: its pid; 0: none has ended; -ECHILD: there is none. */
pid_t mp_os_reap_any(int *status);
/* To a child that has not been reaped. 0 or -errno. */
int mp_os_kill(pid_t pid, int sig);
/* n, or -SIGNAL, of a waitpid status. */
int mp_os_exit_code(int status);
/* "SIGKILL"; NULL for those that have no name here. */
const char *mp_os_signal_name(int sig);
/* A descriptor that turns readable when the process ends. -ESRCH, -ENOSYS before Linux 5.3, -EMFILE. */
int mp_os_pidfd(pid_t pid);
/* Sends sig to the process that both name. Where the system denies that call: by the pid, while the pidfd says that it
 * still runs. 0; -ESRCH: it has ended; -errno. */
int mp_os_pidfd_signal(int pidfd, pid_t pid, int sig);
/* Where there is no pidfd: by the pid, unless what has it surely began after that moment. 0, -ESRCH, -errno. */
int mp_os_pid_signal(pid_t pid, uint64_t since, int sig);
/* True once the process has ended, reaped or not. A pid that names another process by now counts as running. */
bool mp_os_gone(pid_t pid);
/* A descriptor that is readable from the start. */
int mp_os_ready_fd(void);
/* 1 when fd is readable, 0 at the deadline, -EINTR after a signal. */
int mp_os_poll(int fd, uint64_t deadline);
/* Ctrl-C and its handler belong to the interpreter, which is gone when the exit hook runs: back to the default. */
void mp_os_sigint_default(void);

/* proc_start_time.c: of a process that runs or is not reaped, against a moment on the monotonic clock, to a tick (10 ms) */
/* False when it surely began before that moment. True also when it has gone. */
bool mp_os_started_since(pid_t pid, uint64_t since);
/* True when it surely began after it: it is not the process that had this pid then. */
bool mp_os_started_after(pid_t pid, uint64_t since);

/* mapping.c */
/* Whether a process other than the known ones, made at or after the time `since`, has the shared area that begins at
 * `start`, as this one has. True also when that cannot be told: without /proc, or where processes hide theirs. */
bool mp_os_mapped_elsewhere(const void *start, uint64_t since, bool (*known)(pid_t pid));
/* In a copy of a process that shall keep nothing of its heap: gives back what is private memory of no file, but for this
 * thread's stack and variables, and those of the libraries. malloc may not be used any more. */
void mp_os_forget_memory(void);

/* view.c: the areas of other processes, by the descriptor that each keeps (mp_os_map_descriptor) */
typedef struct mp_os_area {
  pid_t pid;
  int fd; /* of that process */
  uint64_t device, inode;
} mp_os_area;
/* One for each process that has one and may be looked at, as many as `most`: how many, or -errno. */
int mp_os_areas(mp_os_area *to, int most);
bool mp_os_area_of(pid_t pid, mp_os_area *to);
/* Opens it for reading; or -errno. It may be another file by now. */
int mp_os_open_area(pid_t pid, int fd);
/* Maps all of it for reading; NULL and -errno in *err: -EPERM when its end could be cut off meanwhile. */
const void *mp_os_map_view(int fd, uint64_t *size, int *err);
void mp_os_unmap_view(const void *p, uint64_t size);
/* What file a descriptor is of: device and inode. 0 or -errno. */
int mp_os_identity(int fd, mp_os_area *to);
/* Bytes of memory that a file takes. */
uint64_t mp_os_file_memory(int fd);

/* terminal.c */
/* Keys come at once and are not shown, until mp_os_terminal_restore. False: no terminal. */
bool mp_os_terminal_keys(int fd);
void mp_os_terminal_restore(int fd);
bool mp_os_terminal_size(int fd, int *columns, int *lines);

/* child.c: what a child does first */
/* The system kills this process when its parent's thread ends. Does not return when that has already happened. */
void mp_os_die_with(pid_t parent);
/* Called once before anything is opened: a descriptor 0 that was not open then is a file of the program's. */
void mp_os_learn_stdin(void);
/* stdin, if there is one, reads as empty; what the parent could not write is not written again. */
void mp_os_child_stdio(void);
/* This process works in the folder in which that one does. */
void mp_os_follow_folder(pid_t pid);
/* Closes all descriptors but 0 to 2, the one kept of the shared area and that of mp_os_open_log. mproc's others in a fresh child, which belong to its
 * parent, are closed already. */
void mp_os_close_fds(void);
void mp_os_close_fds_from(int first);

/* worker.c */
/* Binds this process to one CPU: the nth, counted from 0 and round, of those it may use. 0 or -errno. */
int mp_os_cpu_pin(int nth);
/* A soft limit by its name without RLIMIT_, in small letters. 0 or -errno; -EINVAL: no such name. */
int mp_os_limit(const char *name, uint64_t amount);
/* SIGINT has its default action and is not blocked. */
void mp_os_sigint_ends(void);
/* SIGINT is caught and does nothing; a program that is executed gets the default action back. */
void mp_os_sigint_nothing(void);
/* The end of a child interrupts what waits in the system; Ctrl-C does nothing. For a process that forks for others. */
void mp_os_heed_children(void);
/* SIGTERM is caught by f, and interrupts what waits in the system. */
void mp_os_on_sigterm(void (*f)(int sig));
/* Bytes of this process's memory that are in RAM; 0: not known. */
uint64_t mp_os_resident(void);
/* True while a handler catches SIGINT. */
bool mp_os_sigint_caught(void);

/* pipes.c: writing ends of pipes, but for those that lie on 0 to 2 */
typedef struct mp_os_pipe_writer {
  int fd;
  uint64_t inode; /* the pipe's */
} mp_os_pipe_writer;
/* Those that are open, as many as `most`: how many; 0 where /proc does not tell. */
int mp_os_pipe_writers(mp_os_pipe_writer *to, int most);
/* If it is the same still. */
void mp_os_close_pipe_writer(const mp_os_pipe_writer *w);

/* spawn.c: programs that run beside this process */
enum {
  MP_OS_OWN_GROUP = 1, /* in a process group of its own, all signals at their default action */
  MP_OS_DIES_WITH = 2, /* it is killed when this thread ends */
  MP_OS_DETACHED = 4,  /* it is init's child, and nobody's here */
};
typedef struct mp_os_command {
  char *const *argv; /* ended by NULL; argv[0] is looked for in PATH */
  int in, out, err;  /* descriptors; in is above 2, the others are above 2 or stand where they belong */
  unsigned how;      /* MP_OS_* */
  char *const *env;  /* ended by NULL; NULL: this process's */
  int passed; /* 0, or a descriptor above 2: it gets that as MP_OS_PASSED, and none but it beside 0 to 2; and SIGINT
                      * is blocked until mp_os_sigint_ends, for an interpreter catches it at first */
} mp_os_command;
enum { MP_OS_PASSED = 3 };
/* Starts it, without copying this process, whatever threads that has and locks they hold. Signals that are ignored stay so,
 * but for those that a fork of ours finds at their default action (mp_os_fork). Its pid, or -errno: -ENOENT, -EACCES when
 * there is no such program. */
pid_t mp_os_spawn(const mp_os_command *c);
/* This process runs that program instead, with the variable set: -errno when it cannot. */
int mp_os_become(char *const *argv, const char *name, const char *value);
/* A descriptor above 2, close-on-exec; or -errno. */
int mp_os_open_null(void);
/* A file to which all processes of the tree append; anew: what it had is gone. The descriptor, high up as that of the shared
 * area and spared as that one, or -errno. */
int mp_os_open_log(const char *path, bool anew);
/* A file in the folder that has no name: it goes with its last descriptor. Writes append. */
int mp_os_open_nameless(const char *folder);
int64_t mp_os_file_size(int fd);
/* A descriptor of a file that is there, close-on-exec; or -errno. */
int mp_os_open_read(const char *path);
/* Up to n bytes from where it stands: how many, or -errno. */
int64_t mp_os_read(int fd, void *p, size_t n);
/* Writes all of the file `from` to `to`. 0 or -errno. */
int mp_os_send_file(int from, int to);

/* malloc.c */
/* Before a fork: malloc's free memory goes back to the system by whole pages, and what is left is put in order. */
void mp_os_malloc_trim(void);
/* In a process that forks again and again, once: what is free between other blocks is used up, for good, so that what a child
 * allocates lies side by side, and it copies few pages. */
void mp_os_malloc_fill(void);
/* Up to n bytes that are free stay with malloc, at most 32 MiB: getting them anew costs a fault a page. */
void mp_os_malloc_keep(size_t n);

/* exit.c */
/* The library stays mapped for ever, whoever closes it: `inside` is an address in it. */
void mp_os_pin(const void *inside);
/* Calls hook when this process, or one forked from it, calls exit(). status is -1 when the system does not tell.
 * 0 or -errno. */
int mp_os_at_exit(void (*hook)(int status));
/* Inside exit(), for a hook that was told -1: what exit() was called with. A copy of this process goes on with exit(), runs
 * what else was registered and tells by its own end; there, and when no copy can be made, this returns -1. Here nothing
 * is left to do but to end. */
int mp_os_exit_status(void);
/* Inside exit(), for a process that shares its files: writes what is buffered and closes all but 0 to 2 and mproc's own. Where
 * the system does not tell the status, exit() also moves files to where their streams have been read. */
void mp_os_leave_files(void);
/* Writes what is buffered and ends the process, running nothing else. */
_Noreturn void mp_os_leave(int code);

/* tree.c */
/* Stops the process and its descendants, so that none of them can fork unseen, and lists them, root first.
 * Returns how many of pids' max places are filled. Without /proc that is the root alone. */
int mp_os_tree_stop(pid_t root, pid_t *pids, int max);
/* Sends sig to all of them, then lets them go on. */
void mp_os_tree_signal(const pid_t *pids, int n, int sig);

/* cpu.c */
/* CPUs this process may use: the affinity mask, bounded by the CPU quota of its cgroups. At least 1. */
int mp_os_cpu_count(void);
/* The quota alone, rounded up, or 0 for none; paths as an argument for tests ("/proc/self/cgroup", "/sys/fs/cgroup"). */
int mp_os_cpu_quota(const char *membership, const char *mount);

/* random.c */
/* Fills p with n <= 256 bytes of the system's randomness, by /dev/urandom where getrandom is denied. 0 or -errno. */
int mp_os_random(void *p, size_t n);

/* output.c */
/* Writes what C's streams have buffered. Costs next to nothing when that is nothing. */
void mp_os_flush(void);
/* The same for stdout and stderr, unless a thread has them locked: does not wait. */
void mp_os_flush_standard(void);
/* Writes all of it, in one system call when the file takes it whole; waits where a file does not block. 0 or -errno. */
int mp_os_write(int fd, const char *s, size_t n);
/* The same, and no line of another process gets in between: pipes and sockets, which may take a part, are locked. */
int mp_os_write_line(int fd, const char *s, size_t n);

/* What a descriptor is: where nobody reads along, it is no use to write for eyes. */
enum { MP_FILE, MP_PIPE, MP_TERMINAL, MP_FOLDER };
int mp_os_kind_of_file(int fd);
/* Of what the path names: MP_FILE for a regular file, MP_FOLDER, MP_PIPE for all else; -errno. */
int mp_os_kind_of_path(const char *path);
/* Whether nobody will ever read what is written to this pipe or socket. */
bool mp_os_reader_gone(int fd);
/* A write that nobody reads ends this process. */
void mp_os_sigpipe_default(void);

#pragma GCC visibility pop
#endif
