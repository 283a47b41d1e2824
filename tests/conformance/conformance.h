/* What the conformance checks share: see main.c. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* Whose functions these are: musl's own, which check the checks, or ours. */
#ifndef REFERENCE
#define REFERENCE 0
#endif
/* Whether the machine is ours to set the clock of, or a host that other work runs on. */
#ifndef MACHINE
#define MACHINE 0
#endif

/* A check is labelled `interface, SECTION` with the section of POSIX.1-2024 (System Interfaces) that demands it,
 * or with the name of who else does: `Linux`, `GNU`, `C11` or, where POSIX leaves a choice, `pthread-shim`. */
#define HOLDS(label, condition) check((condition) != 0, label, "", #condition, __FILE__, __LINE__)
#define IS(label, expression, expected) \
	equal((long)(expression), (long)(expected), label, "", #expression, __FILE__, __LINE__)

/* A call that is to return 0, an error number, or -1 with the number in errno: its own text names the interface. */
#define SUCCEEDS(call) equal((long)(call), 0, #call, ", RETURN VALUE", #call, __FILE__, __LINE__)
#define ERROR(call, error) equal((long)(call), (error), #call, ", ERRORS [" #error "]", #call, __FILE__, __LINE__)
#define FAILS(call, error) \
	do { \
		errno = 0; \
		equal((long)(call), -1, #call, ", RETURN VALUE", #call, __FILE__, __LINE__); \
		equal(errno, (error), #call, ", ERRORS [" #error "]", "errno of " #call, __FILE__, __LINE__); \
	} while (0)
/* What POSIX allows ("may fail", unspecified, an option) and pthread-shim chose: not asked of musl. */
#define CHOICE if (!REFERENCE)
#define MAY_ERROR(call, error) \
	do { \
		CHOICE equal((long)(call), (error), #call, ", ERRORS may [" #error "]", #call, __FILE__, __LINE__); \
	} while (0)

/* Safe in every thread, but not in signal handlers. */
void check(int good, const char *label, const char *section, const char *what, const char *file, int line);
void equal(long found, long expected, const char *label, const char *section, const char *what, const char *file, int line);

/* The time on `clock` in so many milliseconds. */
struct timespec in(clockid_t clock, long milliseconds);
/* Milliseconds since a time of CLOCK_MONOTONIC. */
long elapsed(struct timespec since);
/* How much later `b` is than `a`, in nanoseconds. */
int64_t between(struct timespec a, struct timespec b);
/* Deadlines that have passed, and what is no time. */
extern const struct timespec past, before_epoch, no_time, negative_time;

/* Runs `routine` in a thread of its own to its end and returns what it returned. */
void *in_thread(void *(*routine)(void *), void *argument);
/* sem_wait until it has the semaphore, whatever signals come. */
void take(sem_t *semaphore);

/* A mutex with these attributes. */
pthread_mutex_t mutex_of(int type, int robust, int shared);

/* Handles `signal` with `handler`, which interrupts calls (no SA_RESTART); returns what handled it before. */
struct sigaction handle(int signal, void (*handler)(int));

/* Reads (or writes) the byte at `address`: 0, or the signal that the access raised; what it said is in `fault`. */
int touch(volatile char *address, int writes);
struct fault { void *address; int code; };
extern struct fault fault;

/* An open file without a name, `length` bytes of `fill`. */
int file_of(size_t length, int fill);
/* Pages that may be read and written and are nobody's else. */
char *pages(size_t count);
extern size_t page;

/* One group of checks a file; main.c runs them in this order. */
#define GROUPS(DO) \
	DO(pthread_create) DO(pthread_attr) DO(pthread_setname) DO(sched) DO(pthread_key) DO(pthread_once) \
	DO(pthread_mutexattr) DO(pthread_mutex) DO(pthread_cond) DO(pthread_rwlock) DO(pthread_barrier) \
	DO(pthread_spin) DO(sem) DO(sem_open) DO(pthread_kill) DO(pthread_cancel) DO(pthread_atfork) DO(threads_h) \
	DO(mmap) DO(munmap) DO(mprotect) DO(msync) DO(mlock) DO(madvise) DO(mremap) DO(shm) \
	DO(clock) DO(nanosleep) DO(timer) DO(registers)
#define DECLARE(name) void check_##name(void);
GROUPS(DECLARE)
#undef DECLARE
/* Takes a stream that was opened before the first thread started. */
void check_musl(FILE *early);

#endif
