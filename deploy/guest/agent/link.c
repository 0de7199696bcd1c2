#include "agent.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int link_fd = -1;
static uint8_t *out;
static size_t out_start, out_end, out_room;
static uint8_t in[HEADER_BYTES + PAYLOAD_MAX];
static size_t in_bytes;

size_t link_pending(void) { return out_end - out_start; }

static void make_room(size_t bytes) {
  if (out_room - out_end >= bytes) return;
  memmove(out, out + out_start, out_end - out_start);
  out_end -= out_start;
  out_start = 0;
  if (out_room - out_end >= bytes) return;
  out_room = (out_end + bytes) * 2;
  out = realloc(out, out_room);
  if (!out) _exit(70);
}

static void put32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}
static uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void link_send(uint8_t type, uint32_t stream, const void *payload, size_t bytes) {
  make_room(HEADER_BYTES + bytes);
  put32(out + out_end, (uint32_t)bytes);
  out[out_end + 4] = type;
  put32(out + out_end + 5, stream);
  if (bytes) memcpy(out + out_end + HEADER_BYTES, payload, bytes);
  out_end += HEADER_BYTES + bytes;
}

bool link_flush(void) {
  while (out_start < out_end) {
    ssize_t done = write(link_fd, out + out_start, out_end - out_start);
    if (done > 0) out_start += (size_t)done;
    else if (done < 0 && errno == EINTR) continue;
    else return done < 0 && errno == EAGAIN;
  }
  out_start = out_end = 0;
  return true;
}

static size_t take_frames(const uint8_t *bytes, size_t count, bool *good) {
  size_t at = 0;
  while (count - at >= HEADER_BYTES) {
    uint32_t payload = get32(bytes + at);
    if (payload > PAYLOAD_MAX) { *good = false; break; }
    if (count - at < HEADER_BYTES + payload) break;
    if (!handle_frame(bytes[at + 4], get32(bytes + at + 5), bytes + at + HEADER_BYTES, payload)) { *good = false; break; }
    at += HEADER_BYTES + payload;
  }
  return at;
}

bool link_take(const uint8_t *bytes, size_t count) {
  bool good = true;
  while (good && count > 0) {
    size_t part = sizeof in - in_bytes < count ? sizeof in - in_bytes : count;
    memcpy(in + in_bytes, bytes, part);
    in_bytes += part;
    bytes += part;
    count -= part;
    size_t used = take_frames(in, in_bytes, &good);
    memmove(in, in + used, in_bytes - used);
    in_bytes -= used;
  }
  return good;
}

bool link_read(void) {
  static uint8_t buffer[65536];
  for (int turn = 0; turn < 32; turn++) {
    ssize_t got = read(link_fd, buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    if (!(options.native ? link_take(buffer, (size_t)got) : uml_link_take(buffer, (size_t)got))) return false;
    if (!options.native && got < 4095) return true; /* the line is empty; another read would only cost */
  }
  return true;
}
