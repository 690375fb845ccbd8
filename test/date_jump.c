/* Sets the date of the processes that load it first, and of nothing else.

   SO101_TEST_DATE names a file of one signed 64 bit number, the seconds to add; it may change at
   any time. Whoever waits for a date waits on when it is set back meanwhile, as on a real machine;
   set forward meanwhile, the wait is only over when it would have been. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *added;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SO101_TEST_DATE");
  int file = path ? open(path, O_RDONLY) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *added, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) added = page;
  if (file >= 0) close(file);
}

static int64_t jump_s(void) { return added ? *added : 0; }

int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(id, now);
  if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += jump_s();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec date;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &date);
  now->tv_sec = date.tv_sec;
  now->tv_usec = date.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec date;
  clock_gettime(CLOCK_REALTIME, &date);
  if (now) *now = date.tv_sec;
  return date.tv_sec;
}

static int is_over(const struct timespec *end) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  if (end->tv_sec < 1000000000) return real(condition, mutex, end); /* steady time, no date */
  for (;;) {
    struct timespec there = {end->tv_sec - jump_s(), end->tv_nsec};
    int failed = real(condition, mutex, &there);
    if (failed != ETIMEDOUT || is_over(end)) return failed;
  }
}
