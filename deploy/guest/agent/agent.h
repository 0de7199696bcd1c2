/* The guest agent: PID 1 of a microVM. It speaks the guest-agent link (node/crn/guest/frame.ts) on one byte stream:
 * prepares the guest, starts a zygote (a language runtime waiting for code), mounts code, and joins streams of the
 * link to TCP connections of the program on 127.0.0.1:8080. One thread, one poll loop; no allocation per request
 * beyond the buffers of a stream. */
#ifndef LASTMILE_AGENT_H
#define LASTMILE_AGENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frame: u32 payload length | u8 type | u32 stream, little endian, then the payload. */
enum {
  HEADER_BYTES = 9,
  PAYLOAD_MAX = 65536,
  PROTOCOL = 1,
};

enum frame_type {
  FRAME_HELLO = 1, FRAME_CONFIG = 2, FRAME_RESEED = 3, FRAME_READY = 4, FRAME_FAILED = 5,
  FRAME_OPEN = 6, FRAME_DATA = 7, FRAME_END = 8, FRAME_RESET = 9, FRAME_CREDIT = 10,
  FRAME_LOG = 11, FRAME_PING = 12, FRAME_PONG = 13,
};

enum stage { STAGE_ZYGOTE = 1, STAGE_PROGRAM = 2 };

enum {
  PROGRAM_PORT = 8080,
  STREAMS_MAX = 1024,            /* ids 1..1023; the host opens fewer */
  WINDOW_BYTES = 256 * 1024,     /* credit of a new stream, each way */
  LINK_PAUSE_BYTES = 256 * 1024, /* above this much unsent output nothing more is read from the program */
};

struct options {
  bool native;              /* a plain process instead of PID 1 of a guest: no mounts, no clock, no entropy */
  const char *runtime;      /* python, node or none */
  const char *zygote_dir;   /* where zygote.py and zygote.mjs lie */
  unsigned uid;             /* native only: the user to become; 0 stays */
  const char *volume_dir;   /* native only: attached volumes as folders, named by slot */
};
extern struct options options;

/* boot.c */
void boot_guest(void);              /* PID 1: mounts, modules, root file system, loopback */
int open_link(void);                /* the raw, non-blocking link */
void set_identity(const uint8_t *seed, size_t seed_bytes, uint64_t unix_ns);
const char *mount_volume(const char *slot, const char *path); /* NULL or what went wrong */
void power_off(void) __attribute__((noreturn));

/* link.c */
extern int link_fd;
void link_send(uint8_t type, uint32_t stream, const void *payload, size_t bytes);
size_t link_pending(void);
bool link_flush(void);              /* false when the host is gone */
bool link_read(void);               /* reads and handles frames; false when the host is gone or broke the protocol */

bool link_take(const uint8_t *bytes, size_t count); /* a piece of the frame stream; false when the host broke the protocol */

/* uml.c */
bool uml_link_open(int acks);
bool uml_link_take(const uint8_t *bytes, size_t count);

/* frames.c */
bool handle_frame(uint8_t type, uint32_t stream, const uint8_t *payload, size_t bytes);
void fail(const char *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* program.c */
extern int control_fd, log_fds[2];
void start_zygote(void);
bool take_setting(const char *key, const char *value, size_t value_bytes); /* false: unknown key or bad value */
void read_control(void);
void read_log(int which);
bool wants_port_poll(void);
void poll_port(void);
void reap(void);
uint64_t now_ms(void);

/* stream.c */
struct pollfd;
void stream_open(uint32_t id);
bool stream_data(uint32_t id, const uint8_t *bytes, size_t count);
void stream_end(uint32_t id);
void stream_reset(uint32_t id);
bool stream_credit(uint32_t id, uint32_t bytes);
int streams_collect(struct pollfd *polls, uint32_t *ids);
void stream_ready(uint32_t id, short events);

#endif
