/* What the conformance checks share: see conformance.c. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* Checks that hold, and values that must be the expected ones; failures print their line. */
#define CHECK(condition) check((condition) != 0, #condition, __FILE__, __LINE__)
#define EQUAL(expression, expected) equal((long)(expression), (long)(expected), #expression, __FILE__, __LINE__)
/* Functions that return -1 and set errno. */
#define FAILS(expression, error) \
	do { errno = 0; EQUAL(expression, -1); equal(errno, (error), "errno of " #expression, __FILE__, __LINE__); } while (0)

void check(int good, const char *what, const char *file, int line);
void equal(long found, long expected, const char *what, const char *file, int line);

/* The time on `clock` in so many milliseconds. */
struct timespec in(clockid_t clock, long milliseconds);
/* Milliseconds since a time of CLOCK_MONOTONIC. */
long elapsed(struct timespec since);
/* Deadlines that have passed, and one that is no time. */
extern const struct timespec past, before_epoch, no_time;

/* Runs `routine` in a thread of its own to its end and returns what it returned. */
void *in_thread(void *(*routine)(void *), void *argument);

/* A mutex with these attributes. */
pthread_mutex_t mutex_of(int type, int robust, int shared);

void threads(void);
void attributes(void);
void stacks(void);
void thread_local_data(void);
void names_and_scheduling(void);
void keys(void);
void once_only(void);
void mutexes(void);
void contention(void);
void conditions(void);
void rwlocks(void);
void barriers_and_spin_locks(void);
void semaphores(void);
void signals(void);
void cancellation(void);
void c11(void);
void registers(void);
/* Takes a stream that was opened before the first thread started. */
void streams(FILE *early);

#endif
