/* Sends one command to the management console of a user-mode Linux guest and prints its answer.
 * usage, with the VM's folder as working directory: mconsole SOCKET COMMAND
 * Debian's uml_mconsole binds its reply socket where a jailed guest cannot see it, and then waits for ever. This one binds
 * it in the working directory under a relative name that is the same inside the jail, and gives up after two seconds. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct request { uint32_t magic, version, bytes; char text[512]; };
struct reply { uint32_t error, more, bytes; char text[512]; };

static int give_up(const char *what) {
  fprintf(stderr, "mconsole: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  struct request request = {.magic = 0xcafebabe, .version = 2};
  struct sockaddr_un to = {.sun_family = AF_UNIX}, from = {.sun_family = AF_UNIX};
  if (argc != 3 || strlen(argv[2]) >= sizeof request.text || strlen(argv[1]) >= sizeof to.sun_path) {
    fprintf(stderr, "usage: mconsole SOCKET COMMAND\n");
    return 2;
  }
  strcpy(to.sun_path, argv[1]);
  snprintf(from.sun_path, sizeof from.sun_path, "reply-%d", (int)getpid());
  request.bytes = (uint32_t)strlen(argv[2]);
  memcpy(request.text, argv[2], request.bytes);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = 2};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) return give_up("socket");
  umask(0); /* the guest may run as another user */
  if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) return give_up("bind");
  int status = 0;
  if (sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&to, sizeof to) < 0) status = give_up(argv[1]);
  struct reply reply = {.more = 1};
  while (status == 0 && reply.more) {
    ssize_t got = recv(fd, &reply, sizeof reply, 0);
    if (got < 12) { status = give_up("no answer"); break; }
    size_t bytes = reply.bytes < (size_t)got - 12 ? reply.bytes : (size_t)got - 12;
    fwrite(reply.text, 1, strnlen(reply.text, bytes), stdout);
    if (reply.error) status = 3;
  }
  unlink(from.sun_path);
  return status;
}
