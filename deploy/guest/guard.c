/* Runs a command in a process-id namespace that ends with the given parent, whatever the moment at which that is killed.
 * usage: guard PARENT_PID COMMAND [ARGUMENT...]
 * bwrap --die-with-parent alone leaves a gap: its inner process asks for the death signal only after its set-up, and one whose
 * outer process is killed before that waits for ever. Here the inner process is the namespace's init, so all of it goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "guard: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  must(fd, path);
  must(write(fd, text, strlen(text)) < 0 ? -1 : 0, path);
  close(fd);
}

/* Only root may make the namespace as it is; others do it inside a user namespace that maps them to themselves. */
static void new_namespace(void) {
  unsigned uid = getuid(), gid = getgid();
  if (uid == 0) {
    must(unshare(CLONE_NEWPID), "unshare");
    return;
  }
  char map[64];
  must(unshare(CLONE_NEWUSER | CLONE_NEWPID), "unshare (are user namespaces allowed?)");
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1", uid, uid);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "%u %u 1", gid, gid);
  write_file("/proc/self/gid_map", map);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: guard PARENT_PID COMMAND [ARGUMENT...]\n");
    return 2;
  }
  must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
  if (getppid() != (pid_t)atol(argv[1])) return 124; /* it died before the line above */
  new_namespace();
  int alive[2];
  must(pipe2(alive, O_CLOEXEC), "pipe");
  pid_t child = fork();
  must(child, "fork");
  if (child == 0) {
    close(alive[1]);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
    struct pollfd end = {.fd = alive[0], .events = POLLIN};
    if (poll(&end, 1, 0) != 0) _exit(124); /* the process above died before the line before */
    execvp(argv[2], argv + 2);
    fprintf(stderr, "guard: %s: %s\n", argv[2], strerror(errno));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) must(errno == EINTR ? 0 : -1, "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
