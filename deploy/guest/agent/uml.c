/* The downward half of the link in a user-mode Linux guest (node/crn/hypervisor/uml-link.ts): records on the serial line,
 * larger pieces in slots of a block device, acknowledgements on a second line. */
#define _GNU_SOURCE
#include "agent.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 16, SLOT_BYTES = 65536, READ_STEP = 1024, READ_STEP_MARK = 0xff, SLOT_FLAG = 0x8000, BLOCK = 4096 };

static int bulk_fd = -1, ack_fd = -1;
static uint8_t *slot_bytes;
static uint8_t head[6];
static size_t head_bytes, inline_left, unreported;

bool uml_link_open(int acks) {
  ack_fd = acks;
  /* Direct: each read must see what the host wrote last, not what this kernel remembers. */
  bulk_fd = open("/dev/ubdp", O_RDONLY | O_DIRECT | O_CLOEXEC);
  return bulk_fd >= 0 && posix_memalign((void **)&slot_bytes, BLOCK, SLOT_BYTES) == 0;
}

static bool acknowledge(uint8_t byte) {
  for (;;) {
    ssize_t done = write(ack_fd, &byte, 1);
    if (done == 1) return true;
    if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return false;
  }
}

static bool take_slot(unsigned slot, size_t bytes) {
  if (slot >= SLOTS || bytes == 0 || bytes > SLOT_BYTES) return false;
  size_t rounded = (bytes + BLOCK - 1) / BLOCK * BLOCK;
  if (pread(bulk_fd, slot_bytes, rounded, (off_t)slot * SLOT_BYTES) < (ssize_t)bytes) return false;
  return link_take(slot_bytes, bytes) && acknowledge((uint8_t)slot);
}

static size_t head_wanted(void) { return head_bytes >= 2 && head[1] & 0x80 ? 6 : 2; }

bool uml_link_take(const uint8_t *bytes, size_t count) {
  for (unreported += count; unreported >= READ_STEP; unreported -= READ_STEP) if (!acknowledge(READ_STEP_MARK)) return false;
  while (count > 0) {
    if (inline_left > 0) {
      size_t part = count < inline_left ? count : inline_left;
      if (!link_take(bytes, part)) return false;
      bytes += part;
      count -= part;
      inline_left -= part;
      continue;
    }
    head[head_bytes++] = *bytes++;
    count--;
    if (head_bytes < head_wanted()) continue;
    unsigned word = head[0] | (unsigned)head[1] << 8;
    size_t slot_count = (size_t)head[2] | (size_t)head[3] << 8 | (size_t)head[4] << 16 | (size_t)head[5] << 24;
    bool in_slot = head_bytes == 6;
    head_bytes = 0;
    if (!in_slot) inline_left = word;
    else if (!take_slot(word & ~(unsigned)SLOT_FLAG, slot_count)) return false;
  }
  return true;
}
