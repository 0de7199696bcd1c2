#define _GNU_SOURCE
#include "agent.h"
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct options options = {.runtime = "python", .zygote_dir = "/run", .volume_dir = "/volumes"};

static void read_options(int argc, char **argv) {
  const char *runtime = getenv("LASTMILE_RUNTIME"); /* from the kernel's command line */
  if (runtime) options.runtime = runtime;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--native") == 0) options.native = true;
    else if (i + 1 < argc && strcmp(argv[i], "--runtime") == 0) options.runtime = argv[++i];
    else if (i + 1 < argc && strcmp(argv[i], "--zygotes") == 0) options.zygote_dir = argv[++i];
    else if (i + 1 < argc && strcmp(argv[i], "--volumes") == 0) options.volume_dir = argv[++i];
    else if (i + 1 < argc && strcmp(argv[i], "--uid") == 0) options.uid = (unsigned)strtoul(argv[++i], NULL, 10);
  }
}

static void send_hello(void) {
  char text[256], boot_id[64] = "";
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? 0 : read(fd, boot_id, sizeof boot_id - 1);
  if (fd >= 0) close(fd);
  if (got > 0 && boot_id[got - 1] == '\n') boot_id[got - 1] = 0;
  int bytes = snprintf(text, sizeof text, "protocol%c%d%cruntime%c%s%cboot_id%c%s%c", 0, PROTOCOL, 0, 0, options.runtime, 0, 0, boot_id, 0);
  link_send(FRAME_HELLO, 0, text, (size_t)bytes);
}

/* Runs one turn: waits for anything, then handles it. False ends the guest. */
static bool turn(int signals) {
  static struct pollfd polls[STREAMS_MAX + 8];
  static uint32_t ids[STREAMS_MAX];
  bool paused = link_pending() > LINK_PAUSE_BYTES;
  polls[0] = (struct pollfd){.fd = link_fd, .events = (short)(POLLIN | (link_pending() ? POLLOUT : 0))};
  polls[1] = (struct pollfd){.fd = signals, .events = POLLIN};
  polls[2] = (struct pollfd){.fd = control_fd, .events = POLLIN};
  for (int i = 0; i < 2; i++) polls[3 + i] = (struct pollfd){.fd = paused ? -1 : log_fds[i], .events = POLLIN};
  int count = streams_collect(polls + 5, ids);
  if (poll(polls, (nfds_t)(5 + count), wants_port_poll() ? 1 : -1) < 0) return true;
  if (wants_port_poll()) poll_port();
  for (int i = 0; i < 2; i++) if (log_fds[i] >= 0 && polls[3 + i].revents) read_log(i);
  if (control_fd >= 0 && polls[2].revents) read_control();
  if (polls[1].revents) {
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) > 0) {}
    reap();
  }
  for (int i = 0; i < count; i++) if (polls[5 + i].revents) stream_ready(ids[i], polls[5 + i].revents);
  if (polls[0].revents & (POLLIN | POLLHUP | POLLERR) && !link_read()) return false;
  return link_flush();
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (!options.native) boot_guest();
  else if (options.uid && (setgroups(0, NULL) < 0 || setresgid(options.uid, options.uid, options.uid) < 0 || setresuid(options.uid, options.uid, options.uid) < 0)) {
    perror("agent: giving up root");
    return 1;
  }
  link_fd = open_link();
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
  send_hello();
  if (!link_flush()) power_off();
  while (turn(signals)) {}
  power_off();
}
