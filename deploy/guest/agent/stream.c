#include "agent.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One stream of the link joined to one connection of the program. A side is finished after its END or RESET;
 * when both are, the slot is free and the host may use the id again. */
struct stream {
  int fd;
  bool used, connecting, host_done, guest_done, shut;
  uint8_t *pending;              /* from the host, not yet taken by the program */
  size_t start, end, room;
  uint32_t send_credit;          /* bytes the host still accepts */
  uint32_t owed;                 /* bytes the program took and the host may send again */
  uint32_t received_credit;      /* bytes the host may still send */
};
static struct stream streams[STREAMS_MAX];
static uint32_t highest;

static struct stream *find(uint32_t id) { return id > 0 && id < STREAMS_MAX && streams[id].used ? &streams[id] : NULL; }

static void release(struct stream *s) {
  if (s->fd >= 0) close(s->fd);
  free(s->pending);
  memset(s, 0, sizeof *s);
  s->fd = -1;
}

static void finish_guest(uint32_t id, struct stream *s, uint8_t type) {
  if (s->guest_done) return;
  uint8_t code[4] = {1};
  link_send(type, id, code, type == FRAME_RESET ? 4 : 0);
  s->guest_done = true;
}

/* Request bytes that the program has not taken by then are dropped: it has finished its answer. The host may use the id
 * again as soon as both sides are done, so the slot must not stay. */
static void release_when_done(struct stream *s) {
  if (s->guest_done && s->host_done) release(s);
}

/* The connection is broken: nothing more goes either way, but the slot stays until the host is done too. */
static void break_off(uint32_t id, struct stream *s) {
  finish_guest(id, s, FRAME_RESET);
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  s->start = s->end = 0;
  release_when_done(s);
}

void stream_open(uint32_t id) {
  if (id == 0 || id >= STREAMS_MAX || streams[id].used) return;
  struct stream *s = &streams[id];
  memset(s, 0, sizeof *s);
  s->used = true;
  s->send_credit = s->received_credit = WINDOW_BYTES;
  if (id > highest) highest = id;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PROGRAM_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (s->fd < 0) { break_off(id, s); return; }
  int on = 1;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(s->fd, (struct sockaddr *)&to, sizeof to) == 0) return;
  if (errno == EINPROGRESS) s->connecting = true;
  else break_off(id, s);
}

static void write_pending(uint32_t id, struct stream *s) {
  while (s->fd >= 0 && !s->connecting && s->start < s->end) {
    ssize_t done = send(s->fd, s->pending + s->start, s->end - s->start, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) { break_off(id, s); return; }
    s->start += (size_t)done;
    s->owed += (uint32_t)done;
  }
  if (s->start == s->end) s->start = s->end = 0;
  if (s->owed >= WINDOW_BYTES / 4 && !s->host_done) {
    uint8_t grant[4];
    for (int i = 0; i < 4; i++) grant[i] = (uint8_t)(s->owed >> (8 * i));
    link_send(FRAME_CREDIT, id, grant, 4);
    s->received_credit += s->owed;
    s->owed = 0;
  }
  if (s->fd >= 0 && s->host_done && s->start == s->end && !s->shut && !s->connecting) {
    shutdown(s->fd, SHUT_WR);
    s->shut = true;
  }
}

bool stream_data(uint32_t id, const uint8_t *bytes, size_t count) {
  struct stream *s = find(id);
  if (!s || s->host_done) return false;
  if (count > s->received_credit) return false;
  s->received_credit -= (uint32_t)count;
  if (s->fd < 0) return true; /* broken off; the host has not read our RESET yet */
  if (s->start > 0) {
    memmove(s->pending, s->pending + s->start, s->end - s->start);
    s->end -= s->start;
    s->start = 0;
  }
  if (s->room - s->end < count) {
    s->room = s->end + count < 16384 ? 16384 : s->end + count;
    s->pending = realloc(s->pending, s->room);
    if (!s->pending) _exit(70);
  }
  memcpy(s->pending + s->end, bytes, count);
  s->end += count;
  write_pending(id, s);
  return true;
}

void stream_end(uint32_t id) {
  struct stream *s = find(id);
  if (!s) return;
  s->host_done = true;
  write_pending(id, s);
  if (s->used) release_when_done(s);
}

void stream_reset(uint32_t id) {
  struct stream *s = find(id);
  if (!s) return;
  s->host_done = true;
  break_off(id, s);
}

bool stream_credit(uint32_t id, uint32_t bytes) {
  struct stream *s = find(id);
  if (!s) return true; /* crossed with our END */
  if (bytes > WINDOW_BYTES || s->send_credit + bytes > WINDOW_BYTES) return false;
  s->send_credit += bytes;
  return true;
}

int streams_collect(struct pollfd *polls, uint32_t *ids) {
  int count = 0;
  bool paused = link_pending() > LINK_PAUSE_BYTES;
  uint32_t top = 0;
  for (uint32_t id = 1; id <= highest; id++) {
    struct stream *s = &streams[id];
    if (!s->used) continue;
    top = id;
    if (s->fd < 0) continue;
    short events = 0;
    if (s->connecting || s->start < s->end) events |= POLLOUT;
    if (!s->connecting && !s->guest_done && s->send_credit > 0 && !paused) events |= POLLIN;
    if (!events) continue;
    polls[count] = (struct pollfd){.fd = s->fd, .events = events};
    ids[count++] = id;
  }
  highest = top;
  return count;
}

static void read_program(uint32_t id, struct stream *s) {
  static uint8_t buffer[32768];
  while (s->send_credit > 0 && link_pending() <= LINK_PAUSE_BYTES) {
    size_t room = s->send_credit < sizeof buffer ? s->send_credit : sizeof buffer;
    ssize_t got = recv(s->fd, buffer, room, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) { break_off(id, s); return; }
    if (got == 0) {
      finish_guest(id, s, FRAME_END);
      release_when_done(s);
      return;
    }
    s->send_credit -= (uint32_t)got;
    link_send(FRAME_DATA, id, buffer, (size_t)got);
    if ((size_t)got < room) return;
  }
}

void stream_ready(uint32_t id, short events) {
  struct stream *s = find(id);
  if (!s || s->fd < 0) return;
  if (s->connecting) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { break_off(id, s); return; }
    s->connecting = false;
  }
  if (events & POLLOUT) write_pending(id, s);
  if (s->used && s->fd >= 0 && (events & (POLLIN | POLLHUP | POLLERR)) && !s->guest_done) read_program(id, s);
  else if (s->used && s->fd >= 0 && (events & POLLERR)) break_off(id, s);
}
