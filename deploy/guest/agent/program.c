#define _GNU_SOURCE
#include "agent.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int control_fd = -1, log_fds[2] = {-1, -1};
static pid_t main_pid = -1;
static enum { IDLE, WARMING, WARM, LOADING, SERVING, ENDED } state = IDLE;
static bool port_polling;
static uint64_t started_ms;

/* Settings of the program, kept as one block of zero-terminated pairs for the zygote. */
static char *settings;
static size_t settings_bytes, settings_room;
enum { SETTINGS_MAX = 4 << 20, WORDS_MAX = 1024, PROGRAM_UID = 1000 };
static char *words[WORDS_MAX], *environment[WORDS_MAX];
static int word_count, environment_count;
static char entry_kind[16], workdir[512] = "/";

uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void send_ready(enum stage stage) {
  uint64_t ms = now_ms() - started_ms;
  uint8_t payload[5] = {(uint8_t)stage, (uint8_t)ms, (uint8_t)(ms >> 8), (uint8_t)(ms >> 16), (uint8_t)(ms >> 24)};
  link_send(FRAME_READY, 0, payload, sizeof payload);
}

static void child_setup(int control, const int logs[2]) {
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  if (control >= 0) dup2(control, 3);
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(logs[0], 1);
  dup2(logs[1], 2);
  if (!options.native) {
    /* The program is an ordinary user, so that the guest kernel stays a wall between it and the host process. */
    if (setgroups(0, NULL) < 0 || setresgid(PROGRAM_UID, PROGRAM_UID, PROGRAM_UID) < 0 || setresuid(PROGRAM_UID, PROGRAM_UID, PROGRAM_UID) < 0) _exit(126);
  }
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static const char *const base_environment[] = {
  "PATH=/opt/code:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "PORT=8080",
  "HOST=127.0.0.1", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "NODE_ENV=production",
  /* Freed memory stays with the process: touching a page for the first time is dear in this guest. */
  "MALLOC_TRIM_THRESHOLD_=33554432", "MALLOC_MMAP_THRESHOLD_=33554432", "MALLOC_TOP_PAD_=1048576",
};

static void apply_environment(bool settings_too) {
  clearenv();
  for (size_t i = 0; i < sizeof base_environment / sizeof *base_environment; i++) putenv((char *)base_environment[i]);
  for (int i = 0; settings_too && i < environment_count; i++) putenv(environment[i]);
}

/* Starts `arguments` as the one main process of this guest; its output comes to us through two pipes. */
static void spawn(char *const arguments[], bool with_control) {
  int control[2] = {-1, -1}, out[2], err[2];
  if (with_control && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0) { fail("zygote", "socketpair: %s", strerror(errno)); return; }
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) { fail("zygote", "pipe: %s", strerror(errno)); return; }
  main_pid = fork();
  if (main_pid < 0) { fail("zygote", "fork: %s", strerror(errno)); return; }
  if (main_pid == 0) {
    child_setup(control[1], (int[2]){out[1], err[1]});
    apply_environment(!with_control);
    if (chdir(workdir) < 0) { perror(workdir); _exit(126); }
    execvp(arguments[0], arguments);
    dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
  }
  if (with_control) close(control[1]);
  close(out[1]);
  close(err[1]);
  control_fd = control[0];
  log_fds[0] = out[0];
  log_fds[1] = err[0];
  int nonblocking[] = {control_fd, out[0], err[0]};
  for (int i = with_control ? 0 : 1; i < 3; i++) fcntl(nonblocking[i], F_SETFL, fcntl(nonblocking[i], F_GETFL) | O_NONBLOCK);
}

void start_zygote(void) {
  if (state != IDLE) return;
  state = WARMING;
  started_ms = now_ms();
  static char script[256];
  bool python = strcmp(options.runtime, "python") == 0;
  if (strcmp(options.runtime, "none") == 0) { state = WARM; send_ready(STAGE_ZYGOTE); return; }
  snprintf(script, sizeof script, "%s/zygote.%s", options.zygote_dir, python ? "py" : "mjs");
  char *with_python[] = {"python3", "-s", script, NULL}, *with_node[] = {"node", script, NULL};
  spawn(python ? with_python : with_node, true);
}

static void drop_zygote(void) {
  if (main_pid > 0) {
    kill(-main_pid, SIGKILL);
    waitpid(main_pid, NULL, 0);
  }
  main_pid = -1;
  int *fds[] = {&control_fd, &log_fds[0], &log_fds[1]};
  for (int i = 0; i < 3; i++) {
    if (*fds[i] >= 0) close(*fds[i]);
    *fds[i] = -1;
  }
}

static void write_control(const char *bytes, size_t count) {
  /* The block may exceed the socket's buffer; the zygote reads it at once, so waiting here is short. */
  fcntl(control_fd, F_SETFL, fcntl(control_fd, F_GETFL) & ~O_NONBLOCK);
  while (count > 0) {
    ssize_t done = send(control_fd, bytes, count, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) { fail("load", "the zygote is gone"); return; }
    bytes += done;
    count -= (size_t)done;
  }
  fcntl(control_fd, F_SETFL, fcntl(control_fd, F_GETFL) | O_NONBLOCK);
}

static bool load_program(void) {
  if (state != WARM) return false;
  state = LOADING;
  started_ms = now_ms();
  if (strcmp(entry_kind, "exec") == 0) {
    if (word_count == 0) { fail("load", "no program named"); return true; }
    drop_zygote();
    words[word_count] = NULL;
    spawn(words, false);
    port_polling = true;
    return true;
  }
  if (control_fd < 0) { fail("load", "this guest has no %s zygote", entry_kind); return true; }
  uint8_t size[4] = {(uint8_t)settings_bytes, (uint8_t)(settings_bytes >> 8), (uint8_t)(settings_bytes >> 16), (uint8_t)(settings_bytes >> 24)};
  write_control((char *)size, 4);
  write_control(settings, settings_bytes);
  return true;
}

static bool keep_setting(const char *key, const char *value, size_t value_bytes) {
  size_t key_bytes = strlen(key), bytes = key_bytes + value_bytes + 2;
  if (settings_bytes + bytes > SETTINGS_MAX) return false;
  if (settings_bytes + bytes > settings_room) {
    settings_room = (settings_bytes + bytes) * 2;
    settings = realloc(settings, settings_room);
    if (!settings) _exit(70);
  }
  memcpy(settings + settings_bytes, key, key_bytes + 1);
  memcpy(settings + settings_bytes + key_bytes + 1, value, value_bytes + 1);
  settings_bytes += bytes;
  return true;
}

static bool keep_word(char **list, int *count, const char *value) {
  if (*count >= WORDS_MAX - 1) return false;
  list[(*count)++] = strdup(value);
  return true;
}

bool take_setting(const char *key, const char *value, size_t value_bytes) {
  if (strcmp(key, "hostname") == 0) {
    if (value_bytes <= 63 && !options.native && sethostname(value, value_bytes) < 0) fail("boot", "hostname: %s", strerror(errno));
    return value_bytes <= 63;
  }
  if (strcmp(key, "volume") == 0) { /* "b /opt/code" */
    char slot[2] = {value[0], 0};
    if (value_bytes < 3 || value[1] != ' ') return false;
    const char *wrong = mount_volume(slot, value + 2);
    if (wrong) fail("mount", "volume %s at %s: %s", slot, value + 2, wrong);
    return true;
  }
  if (strcmp(key, "workdir") == 0) snprintf(workdir, sizeof workdir, "%s", value);
  else if (strcmp(key, "kind") == 0) snprintf(entry_kind, sizeof entry_kind, "%s", value);
  else if (strcmp(key, "word") == 0) { if (!keep_word(words, &word_count, value)) return false; }
  else if (strcmp(key, "env") == 0) { if (!keep_word(environment, &environment_count, value)) return false; }
  else if (strcmp(key, "start") == 0) return load_program();
  else return false;
  return keep_setting(key, value, value_bytes);
}

static void serving(void) {
  if (state != LOADING) return;
  state = SERVING;
  port_polling = false;
  send_ready(STAGE_PROGRAM);
}

/* One byte of the zygote each: W warm, S loading began (an own listener is gone), L the program listens. */
void read_control(void) {
  char bytes[16];
  ssize_t got = recv(control_fd, bytes, sizeof bytes, 0);
  if (got < 0) return;
  if (got == 0) { close(control_fd); control_fd = -1; return; }
  for (ssize_t i = 0; i < got; i++) {
    if (bytes[i] == 'W' && state == WARMING) { state = WARM; send_ready(STAGE_ZYGOTE); }
    else if (bytes[i] == 'S' && state == LOADING) port_polling = true;
    else if (bytes[i] == 'L') serving();
  }
}

void read_log(int which) {
  static uint8_t buffer[8192];
  buffer[0] = (uint8_t)(which + 1);
  ssize_t got = read(log_fds[which], buffer + 1, sizeof buffer - 1);
  if (got > 0) link_send(FRAME_LOG, 0, buffer, (size_t)got + 1);
  else if (got == 0 || errno != EAGAIN) { close(log_fds[which]); log_fds[which] = -1; }
}

bool wants_port_poll(void) { return port_polling; }

static bool listens(const char *table) {
  FILE *file = fopen(table, "re");
  if (!file) return false;
  char line[256];
  bool found = false;
  unsigned port, status;
  while (!found && fgets(line, sizeof line, file))
    found = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &port, &status) == 2 && port == PROGRAM_PORT && status == 0x0a;
  fclose(file);
  return found;
}

/* Reads the table of sockets instead of connecting: a probe connection would block a server that takes one at a time. */
void poll_port(void) { if (listens("/proc/net/tcp") || listens("/proc/net/tcp6")) serving(); }

static void drain_logs(void) {
  for (int which = 0; which < 2; which++)
    for (int turn = 0; turn < 64 && log_fds[which] >= 0; turn++) {
      size_t before = link_pending();
      read_log(which);
      if (link_pending() == before) break;
    }
}

void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != main_pid || state == ENDED) continue;
    drain_logs();
    const char *stage = state == WARMING || state == WARM ? "zygote" : state == LOADING ? "load" : "run";
    if (WIFSIGNALED(status)) fail(stage, "the program was ended by signal %d", WTERMSIG(status));
    else fail(stage, "the program ended with status %d", WEXITSTATUS(status));
    state = ENDED;
    main_pid = -1;
  }
}
