/* pthread_rwlock_* and pthread_rwlockattr_*. */
#include "conformance.h"

static void *expect_readers(void *lock)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	ERROR(pthread_rwlock_trywrlock(lock), EBUSY);
	ERROR(pthread_rwlock_timedwrlock(lock, &at), ETIMEDOUT);
	HOLDS("pthread_rwlock_timedwrlock, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	ERROR(pthread_rwlock_timedwrlock(lock, &past), ETIMEDOUT);
	ERROR(pthread_rwlock_timedwrlock(lock, &no_time), EINVAL);
	CHOICE {
		at = in(CLOCK_MONOTONIC, 20);
		ERROR(pthread_rwlock_clockwrlock(lock, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		HOLDS("pthread_rwlock_clockwrlock, DESCRIPTION: not before its time", between(at, in(CLOCK_MONOTONIC, 0)) >= 0);
		at = in(CLOCK_REALTIME, 20);
		ERROR(pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, &at), ETIMEDOUT);
		ERROR(pthread_rwlock_clockwrlock(lock, 99, &at), EINVAL);
		ERROR(pthread_rwlock_clockwrlock(lock, CLOCK_MONOTONIC, &no_time), EINVAL);
	}
	SUCCEEDS(pthread_rwlock_tryrdlock(lock));
	SUCCEEDS(pthread_rwlock_unlock(lock));
	return 0;
}

static void *expect_writer(void *lock)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	ERROR(pthread_rwlock_trywrlock(lock), EBUSY);
	ERROR(pthread_rwlock_tryrdlock(lock), EBUSY);
	ERROR(pthread_rwlock_timedrdlock(lock, &at), ETIMEDOUT);
	HOLDS("pthread_rwlock_timedrdlock, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	ERROR(pthread_rwlock_timedrdlock(lock, &past), ETIMEDOUT);
	ERROR(pthread_rwlock_timedrdlock(lock, &no_time), EINVAL);
	ERROR(pthread_rwlock_timedwrlock(lock, &past), ETIMEDOUT);
	CHOICE {
		at = in(CLOCK_MONOTONIC, 20);
		ERROR(pthread_rwlock_clockrdlock(lock, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		HOLDS("pthread_rwlock_clockrdlock, DESCRIPTION: not before its time", between(at, in(CLOCK_MONOTONIC, 0)) >= 0);
		at = in(CLOCK_REALTIME, 20);
		ERROR(pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, &at), ETIMEDOUT);
		ERROR(pthread_rwlock_clockrdlock(lock, 99, &at), EINVAL);
		ERROR(pthread_rwlock_clockrdlock(lock, CLOCK_MONOTONIC, &no_time), EINVAL);
	}
	MAY_ERROR(pthread_rwlock_unlock(lock), EPERM);
	return 0;
}

static void attributes_and_errors(void)
{
	pthread_rwlockattr_t a;
	int number = -1;
	pthread_rwlock_t lock;
	SUCCEEDS(pthread_rwlockattr_init(&a));
	SUCCEEDS(pthread_rwlockattr_getpshared(&a, &number));
	IS("pthread_rwlockattr_getpshared, DESCRIPTION: private by default", number, PTHREAD_PROCESS_PRIVATE);
	ERROR(pthread_rwlockattr_setpshared(&a, 2), EINVAL);
	SUCCEEDS(pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	SUCCEEDS(pthread_rwlockattr_getpshared(&a, &number));
	IS("pthread_rwlockattr_setpshared, DESCRIPTION", number, PTHREAD_PROCESS_SHARED);
	for (int shared = 0; shared < 2; shared++) {
		SUCCEEDS(pthread_rwlock_init(&lock, shared ? &a : 0));
		MAY_ERROR(pthread_rwlock_unlock(&lock), EPERM);
		SUCCEEDS(pthread_rwlock_rdlock(&lock));
		/* A reader may lock again, and unlocks as often. */
		SUCCEEDS(pthread_rwlock_rdlock(&lock));
		in_thread(expect_readers, &lock);
		MAY_ERROR(pthread_rwlock_destroy(&lock), EBUSY);
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		in_thread(expect_readers, &lock);
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		SUCCEEDS(pthread_rwlock_wrlock(&lock));
		MAY_ERROR(pthread_rwlock_wrlock(&lock), EDEADLK);
		MAY_ERROR(pthread_rwlock_rdlock(&lock), EDEADLK);
		in_thread(expect_writer, &lock);
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		/* A free lock is taken whatever the deadline. */
		SUCCEEDS(pthread_rwlock_timedrdlock(&lock, &no_time));
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		SUCCEEDS(pthread_rwlock_timedwrlock(&lock, &no_time));
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		SUCCEEDS(pthread_rwlock_tryrdlock(&lock));
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		SUCCEEDS(pthread_rwlock_trywrlock(&lock));
		SUCCEEDS(pthread_rwlock_unlock(&lock));
		SUCCEEDS(pthread_rwlock_destroy(&lock));
	}
	SUCCEEDS(pthread_rwlockattr_destroy(&a));
}

static pthread_rwlock_t shared_lock = PTHREAD_RWLOCK_INITIALIZER;
static int one_half, other_half;

static void *write_both(void *unused)
{
	for (int i = 0; i < 3000; i++) {
		pthread_rwlock_wrlock(&shared_lock);
		one_half++;
		other_half++;
		pthread_rwlock_unlock(&shared_lock);
	}
	return unused;
}

static void *read_both(void *unused)
{
	int differed = 0;
	for (int i = 0; i < 3000; i++) {
		pthread_rwlock_rdlock(&shared_lock);
		differed |= one_half != other_half;
		pthread_rwlock_unlock(&shared_lock);
	}
	HOLDS("pthread_rwlock_rdlock, DESCRIPTION: no writer meanwhile", !differed);
	return unused;
}

static sem_t started, inside;

/* All of them hold it at the same time. */
static void *read_together(void *barrier)
{
	SUCCEEDS(pthread_rwlock_rdlock(&shared_lock));
	pthread_barrier_wait(barrier);
	SUCCEEDS(pthread_rwlock_unlock(&shared_lock));
	return 0;
}

static void *wait_for_reading(void *unused)
{
	sem_post(&started);
	SUCCEEDS(pthread_rwlock_rdlock(&shared_lock));
	sem_post(&inside);
	SUCCEEDS(pthread_rwlock_unlock(&shared_lock));
	return unused;
}

static void *wait_for_writing(void *unused)
{
	sem_post(&started);
	SUCCEEDS(pthread_rwlock_wrlock(&shared_lock));
	sem_post(&inside);
	SUCCEEDS(pthread_rwlock_unlock(&shared_lock));
	return unused;
}

static void ignore(int signal)
{
	(void)signal;
}

static void waits(void)
{
	pthread_t threads[6];
	for (int i = 0; i < 6; i++) SUCCEEDS(pthread_create(&threads[i], 0, i % 2 ? write_both : read_both, 0));
	for (int i = 0; i < 6; i++) SUCCEEDS(pthread_join(threads[i], 0));
	IS("pthread_rwlock_wrlock, DESCRIPTION: one writer", one_half, 9000);

	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, 0, 4);
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, read_together, &barrier));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
	pthread_barrier_destroy(&barrier);

	/* Signals do not end a wait for the lock, and its release ends all of them. */
	struct sigaction old = handle(SIGUSR1, ignore);
	sem_init(&started, 0, 0);
	sem_init(&inside, 0, 0);
	SUCCEEDS(pthread_rwlock_wrlock(&shared_lock));
	for (int i = 0; i < 6; i++) {
		SUCCEEDS(pthread_create(&threads[i], 0, i % 3 ? wait_for_reading : wait_for_writing, 0));
		take(&started);
	}
	for (int round = 0; round < 2; round++) {
		usleep(10000);
		for (int i = 0; i < 6; i++) SUCCEEDS(pthread_kill(threads[i], SIGUSR1));
	}
	FAILS(sem_trywait(&inside), EAGAIN);
	SUCCEEDS(pthread_rwlock_unlock(&shared_lock));
	for (int i = 0; i < 6; i++) SUCCEEDS(pthread_join(threads[i], 0));
	int count = 0;
	sem_getvalue(&inside, &count);
	IS("pthread_rwlock_unlock, DESCRIPTION: all who waited", count, 6);
	sigaction(SIGUSR1, &old, 0);
}

void check_pthread_rwlock(void)
{
	attributes_and_errors();
	waits();
}
