#define _GNU_SOURCE
#include "agent.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

void power_off(void) {
  if (options.native) _exit(0);
  /* A plain reboot would start this guest again inside the same host process. */
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static void must(int result, const char *what) {
  if (result >= 0) return;
  dprintf(2, "agent: %s: %s\n", what, strerror(errno));
  power_off();
}

static void load_module(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return; /* built into this kernel */
  if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) must(-1, path);
  close(fd);
}

static void copy_file(const char *from, const char *to) {
  int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  must(in, from);
  must(out, to);
  while (sendfile(out, in, NULL, 1 << 20) > 0) {}
  close(in);
  close(out);
}

static void loopback_up(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strcpy(request.ifr_name, "lo");
  must(ioctl(fd, SIOCSIFFLAGS, &request), "loopback");
  close(fd);
}

static void write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, text, strlen(text)) < 0) dprintf(2, "agent: %s: %s\n", path, strerror(errno));
  close(fd);
}

void boot_guest(void) {
  mkdir("/dev", 0755);
  must(mount("dev", "/dev", "devtmpfs", 0, ""), "devtmpfs");
  load_module("/squashfs.ko");
  load_module("/overlay.ko");
  mkdir("/lower", 0755);
  mkdir("/upper", 0755);
  mkdir("/root", 0755);
  must(mount("/dev/ubda", "/lower", "squashfs", MS_RDONLY, ""), "root file system");
  must(mount("upper", "/upper", "tmpfs", 0, "mode=0755"), "tmpfs");
  mkdir("/upper/files", 0755);
  mkdir("/upper/work", 0755);
  must(mount("root", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work"), "overlay");
  must(mount("dev", "/root/dev", "devtmpfs", 0, ""), "devtmpfs");
  must(mount("proc", "/root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""), "proc");
  must(mount("sys", "/root/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""), "sysfs");
  must(mount("tmp", "/root/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "tmp");
  mkdir("/root/run", 0755);
  must(mount("run", "/root/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"), "run");
  mkdir("/root/dev/shm", 0755);
  must(mount("shm", "/root/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "shm");
  /* The zygotes travel with the agent, so that a root file system need not be rebuilt when they change. */
  copy_file("/zygote.py", "/root/run/zygote.py");
  copy_file("/zygote.mjs", "/root/run/zygote.mjs");
  must(chdir("/root"), "root");
  must(mount(".", "/", NULL, MS_MOVE, NULL), "move root");
  must(chroot("."), "chroot");
  must(chdir("/"), "root");
  /* Guest code must not reach the guest kernel by loading a module: that is the wall to the host process. */
  write_text("/proc/sys/kernel/modules_disabled", "1");
  loopback_up();
}

static int open_line(const char *path) {
  int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  must(fd, path);
  struct termios raw;
  must(tcgetattr(fd, &raw), "tcgetattr");
  cfmakeraw(&raw);
  must(tcsetattr(fd, TCSANOW, &raw), "tcsetattr");
  return fd;
}

int open_link(void) {
  if (options.native) {
    fcntl(3, F_SETFL, fcntl(3, F_GETFL) | O_NONBLOCK);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    return 3;
  }
  int fd = open_line("/dev/ttyS0");
  must(uml_link_open(open_line("/dev/ttyS1")) ? 0 : -1, "/dev/ubdp");
  return fd;
}

void set_identity(const uint8_t *seed, size_t seed_bytes, uint64_t unix_ns) {
  if (options.native) return;
  struct timespec now = {.tv_sec = (time_t)(unix_ns / 1000000000u), .tv_nsec = (long)(unix_ns % 1000000000u)};
  clock_settime(CLOCK_REALTIME, &now);
  struct { int entropy_count, buf_size; uint8_t bytes[256]; } pool;
  size_t count = seed_bytes < sizeof pool.bytes ? seed_bytes : sizeof pool.bytes;
  pool.entropy_count = (int)count * 8;
  pool.buf_size = (int)count;
  memcpy(pool.bytes, seed, count);
  int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0) fail("boot", "entropy: %s", strerror(errno));
  if (fd >= 0) close(fd);
}

static int make_folders(const char *path) {
  char part[512];
  if (strlen(path) >= sizeof part) return -1;
  for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
    size_t count = slash ? (size_t)(slash - path) : strlen(path);
    memcpy(part, path, count);
    part[count] = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST) return -1;
    if (!slash) return 0;
  }
}

/* Native: the volume is a folder already; a link at the mount point stands for the mount. */
static const char *link_volume(const char *slot, const char *path) {
  char folder[512], parent[512];
  snprintf(folder, sizeof folder, "%s/%s", options.volume_dir, slot);
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (slash && slash != parent) {
    *slash = 0;
    if (make_folders(parent) < 0) return strerror(errno);
  }
  return symlink(folder, path) < 0 ? strerror(errno) : NULL;
}

const char *mount_volume(const char *slot, const char *path) {
  if (path[0] != '/' || strstr(path, "..")) return "the mount point is no absolute path";
  if (strlen(slot) != 1 || slot[0] < 'b' || slot[0] > 'z') return "the slot is not one of b to z";
  if (options.native) return link_volume(slot, path);
  char device[16];
  snprintf(device, sizeof device, "/dev/ubd%s", slot);
  if (make_folders(path) < 0) return strerror(errno);
  /* Read-only images of strangers: no device files, no set-uid. */
  if (mount(device, path, "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, "") < 0) return strerror(errno);
  return NULL;
}
