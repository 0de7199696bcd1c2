#include "agent.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void fail(const char *stage, const char *format, ...) {
  char text[2048];
  int head = snprintf(text, sizeof text, "%s", stage) + 1; /* the zero byte parts stage and text */
  va_list values;
  va_start(values, format);
  int body = vsnprintf(text + head, sizeof text - (size_t)head, format, values);
  va_end(values);
  size_t bytes = (size_t)head + (body < 0 ? 0 : (size_t)body);
  link_send(FRAME_FAILED, 0, text, bytes < sizeof text ? bytes : sizeof text - 1);
}

static uint64_t get64(const uint8_t *at) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

/* Pairs of zero-terminated texts: key, value, key, value. */
static bool handle_config(const uint8_t *payload, size_t bytes) {
  size_t at = 0;
  while (at < bytes) {
    const char *key = (const char *)payload + at;
    const uint8_t *key_end = memchr(payload + at, 0, bytes - at);
    if (!key_end) return false;
    size_t value_at = (size_t)(key_end - payload) + 1;
    const uint8_t *value_end = value_at < bytes ? memchr(payload + value_at, 0, bytes - value_at) : NULL;
    if (!value_end) return false;
    if (!take_setting(key, (const char *)payload + value_at, (size_t)(value_end - payload) - value_at)) return false;
    at = (size_t)(value_end - payload) + 1;
  }
  return true;
}

static bool handle_reseed(const uint8_t *payload, size_t bytes) {
  if (bytes < 8 + 32) return false;
  set_identity(payload + 8, bytes - 8, get64(payload));
  start_zygote(); /* only once: nothing of a runtime runs before the guest has entropy of its own */
  return true;
}

bool handle_frame(uint8_t type, uint32_t stream, const uint8_t *payload, size_t bytes) {
  switch (type) {
    case FRAME_CONFIG: return handle_config(payload, bytes);
    case FRAME_RESEED: return handle_reseed(payload, bytes);
    case FRAME_OPEN: stream_open(stream); return true;
    case FRAME_DATA: return stream_data(stream, payload, bytes);
    case FRAME_END: stream_end(stream); return true;
    case FRAME_RESET: stream_reset(stream); return true;
    case FRAME_CREDIT:
      if (bytes != 4) return false;
      return stream_credit(stream, (uint32_t)payload[0] | (uint32_t)payload[1] << 8 | (uint32_t)payload[2] << 16 | (uint32_t)payload[3] << 24);
    case FRAME_PING: link_send(FRAME_PONG, 0, payload, bytes); return true;
    default: return false;
  }
}
