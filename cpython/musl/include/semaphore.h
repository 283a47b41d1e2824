/* Adds to musl's <semaphore.h> the POSIX.1-2024 wait that pthread-shim provides
 * and musl 1.2.6 lacks. CPython's timed waits follow CLOCK_MONOTONIC only if it
 * exists. */
#include_next <semaphore.h>

#ifndef PYTHONOS_SEMAPHORE_H
#define PYTHONOS_SEMAPHORE_H
#ifdef __cplusplus
extern "C" {
#endif
int sem_clockwait(sem_t *__restrict, clockid_t, const struct timespec *__restrict);
#ifdef __cplusplus
}
#endif
#endif
