/* Preloaded into redis-server: moves its wall clock by the microseconds that stand in the file
   CLOCK_SHIM_FILE, which the test rewrites while the server runs. With CLOCK_SHIM_ABSOLUTE they are
   what it shows, and it stands still. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;
static int absolute;

__attribute__((constructor)) static void map_offset(void) {
  int file = open(getenv("CLOCK_SHIM_FILE"), O_RDONLY);
  void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (file < 0 || page == MAP_FAILED) abort();
  offset = page;
  absolute = getenv("CLOCK_SHIM_ABSOLUTE") != NULL;
}

/* The system is asked directly: the real functions would have to be looked up first, and the
   allocator asks for the time before that is possible. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (failed || clock != CLOCK_REALTIME || offset == NULL) return failed;
  if (absolute) now->tv_sec = now->tv_nsec = 0;
  int64_t nanos = now->tv_nsec + *offset % 1000000 * 1000;
  now->tv_sec += *offset / 1000000;
  if (nanos < 0) now->tv_sec--, nanos += 1000000000;
  if (nanos >= 1000000000) now->tv_sec++, nanos -= 1000000000;
  now->tv_nsec = nanos;
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int failed = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *result) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (result) *result = precise.tv_sec;
  return precise.tv_sec;
}
