/* SPDX-License-Identifier: MIT */
/* A terminal for a live view: its size, and keys that come without Enter. */
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "os/process.h"

static struct termios before;
static bool changed;

bool mp_os_terminal_keys(int fd) {
  struct termios t;
  if (tcgetattr(fd, &t) != 0) return false;
  if (!changed) before = t;
  t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  changed = tcsetattr(fd, TCSADRAIN, &t) == 0;
  return changed;
}

void mp_os_terminal_restore(int fd) {
  if (changed) tcsetattr(fd, TCSADRAIN, &before);
  changed = false;
}

bool mp_os_terminal_size(int fd, int *columns, int *lines) {
  struct winsize w;
  if (ioctl(fd, TIOCGWINSZ, &w) != 0 || !w.ws_col || !w.ws_row) return false;
  *columns = w.ws_col;
  *lines = w.ws_row;
  return true;
}
