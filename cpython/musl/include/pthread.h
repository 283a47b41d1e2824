/* Adds to musl's <pthread.h> the POSIX.1-2024 waits that name their clock;
 * pthread-shim provides them and musl 1.2.6 lacks them. */
#include_next <pthread.h>

#ifndef PYTHONOS_PTHREAD_H
#define PYTHONOS_PTHREAD_H
#ifdef __cplusplus
extern "C" {
#endif
int pthread_mutex_clocklock(pthread_mutex_t *__restrict, clockid_t, const struct timespec *__restrict);
int pthread_cond_clockwait(pthread_cond_t *__restrict, pthread_mutex_t *__restrict, clockid_t, const struct timespec *__restrict);
int pthread_rwlock_clockrdlock(pthread_rwlock_t *__restrict, clockid_t, const struct timespec *__restrict);
int pthread_rwlock_clockwrlock(pthread_rwlock_t *__restrict, clockid_t, const struct timespec *__restrict);
#ifdef __cplusplus
}
#endif
#endif
