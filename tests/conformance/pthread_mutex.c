/* pthread_mutex_*: every type, robust and not, shared and not. */
#include "conformance.h"

static void *lock_and_die(void *mutex)
{
	return (void *)(long)pthread_mutex_lock(mutex);
}

static void *expect_busy(void *mutex)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	ERROR(pthread_mutex_trylock(mutex), EBUSY);
	ERROR(pthread_mutex_timedlock(mutex, &at), ETIMEDOUT);
	HOLDS("pthread_mutex_timedlock, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	CHOICE {
		at = in(CLOCK_MONOTONIC, 20);
		ERROR(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		HOLDS("pthread_mutex_clocklock, DESCRIPTION: not before its time", between(at, in(CLOCK_MONOTONIC, 0)) >= 0);
		at = in(CLOCK_REALTIME, 20);
		ERROR(pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &at), ETIMEDOUT);
		ERROR(pthread_mutex_clocklock(mutex, CLOCK_PROCESS_CPUTIME_ID, &at), EINVAL);
		ERROR(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &no_time), EINVAL);
	}
	ERROR(pthread_mutex_timedlock(mutex, &past), ETIMEDOUT);
	ERROR(pthread_mutex_timedlock(mutex, &before_epoch), ETIMEDOUT);
	ERROR(pthread_mutex_timedlock(mutex, &no_time), EINVAL);
	ERROR(pthread_mutex_timedlock(mutex, &negative_time), EINVAL);
	return 0;
}

static void *expect_not_owner(void *mutex)
{
	ERROR(pthread_mutex_unlock(mutex), EPERM);
	return 0;
}

static void types(void)
{
	for (int type = 0; type < 3; type++) for (int shared = 0; shared < 2; shared++) {
		pthread_mutex_t mutex = mutex_of(type, 0, shared);
		SUCCEEDS(pthread_mutex_lock(&mutex));
		MAY_ERROR(pthread_mutex_destroy(&mutex), EBUSY);
		in_thread(expect_busy, &mutex);
		if (type == PTHREAD_MUTEX_ERRORCHECK) {
			ERROR(pthread_mutex_lock(&mutex), EDEADLK);
			ERROR(pthread_mutex_trylock(&mutex), EBUSY);
			struct timespec at = in(CLOCK_REALTIME, 60000);
			ERROR(pthread_mutex_timedlock(&mutex, &at), EDEADLK);
		}
		if (type == PTHREAD_MUTEX_RECURSIVE) {
			SUCCEEDS(pthread_mutex_lock(&mutex));
			SUCCEEDS(pthread_mutex_trylock(&mutex));
			SUCCEEDS(pthread_mutex_timedlock(&mutex, &past));
			SUCCEEDS(pthread_mutex_unlock(&mutex));
			SUCCEEDS(pthread_mutex_unlock(&mutex));
			SUCCEEDS(pthread_mutex_unlock(&mutex));
			/* Still locked once. */
			in_thread(expect_busy, &mutex);
		}
		if (type == PTHREAD_MUTEX_NORMAL) {
			ERROR(pthread_mutex_trylock(&mutex), EBUSY);
			/* "Shall deadlock": until the deadline, that is. */
			ERROR(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
		} else {
			in_thread(expect_not_owner, &mutex);
		}
		ERROR(pthread_mutex_consistent(&mutex), EINVAL);
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		if (type != PTHREAD_MUTEX_NORMAL) ERROR(pthread_mutex_unlock(&mutex), EPERM);
		/* A free mutex is taken whatever the deadline. */
		SUCCEEDS(pthread_mutex_timedlock(&mutex, &past));
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		SUCCEEDS(pthread_mutex_timedlock(&mutex, &no_time));
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		CHOICE {
			SUCCEEDS(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past));
			SUCCEEDS(pthread_mutex_unlock(&mutex));
		}
		SUCCEEDS(pthread_mutex_destroy(&mutex));
		/* Destroyed, it may be initialised again. */
		SUCCEEDS(pthread_mutex_init(&mutex, 0));
		SUCCEEDS(pthread_mutex_trylock(&mutex));
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		SUCCEEDS(pthread_mutex_destroy(&mutex));
	}

	int number;
	pthread_mutex_t fixed = PTHREAD_MUTEX_INITIALIZER;
	SUCCEEDS(pthread_mutex_lock(&fixed));
	SUCCEEDS(pthread_mutex_unlock(&fixed));
	ERROR(pthread_mutex_getprioceiling(&fixed, &number), EINVAL);
	ERROR(pthread_mutex_setprioceiling(&fixed, 1, &number), EINVAL);
}

static sem_t started;

static void *lock_and_unlock(void *mutex)
{
	sem_post(&started);
	struct timespec at = in(CLOCK_REALTIME, 60000);
	SUCCEEDS(pthread_mutex_timedlock(mutex, &at));
	SUCCEEDS(pthread_mutex_unlock(mutex));
	return 0;
}

static void ignore(int signal)
{
	(void)signal;
}

/* A signal does not end the wait: "as if it was not interrupted", never EINTR. */
static void interrupted(void)
{
	struct sigaction old = handle(SIGUSR1, ignore);
	pthread_mutex_t mutex = mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0);
	pthread_t thread;
	sem_init(&started, 0, 0);
	SUCCEEDS(pthread_mutex_lock(&mutex));
	SUCCEEDS(pthread_create(&thread, 0, lock_and_unlock, &mutex));
	take(&started);
	for (int i = 0; i < 3; i++) {
		usleep(10000);
		SUCCEEDS(pthread_kill(thread, SIGUSR1));
	}
	usleep(10000);
	SUCCEEDS(pthread_mutex_unlock(&mutex));
	SUCCEEDS(pthread_join(thread, 0));
	SUCCEEDS(pthread_mutex_destroy(&mutex));
	sigaction(SIGUSR1, &old, 0);
}

static void *die_after_a_while(void *mutex)
{
	SUCCEEDS(pthread_mutex_lock(mutex));
	sem_post(&started);
	usleep(30000);
	return 0;
}

static void *die_with_three(void *mutexes)
{
	for (int i = 0; i < 3; i++) SUCCEEDS(pthread_mutex_lock((pthread_mutex_t *)mutexes + i));
	return 0;
}

static void robust(void)
{
	for (int type = 0; type < 3; type++) {
		pthread_mutex_t mutex = mutex_of(type, 1, 0), other = mutex_of(type, 1, 0);
		IS("pthread_mutex_lock, RETURN VALUE", in_thread(lock_and_die, &mutex), 0);
		IS("pthread_mutex_lock, RETURN VALUE", in_thread(lock_and_die, &other), 0);
		ERROR(pthread_mutex_lock(&mutex), EOWNERDEAD);
		SUCCEEDS(pthread_mutex_consistent(&mutex));
		/* Consistent, it is no longer a case for this call. */
		ERROR(pthread_mutex_consistent(&mutex), EINVAL);
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		SUCCEEDS(pthread_mutex_lock(&mutex));
		if (type == PTHREAD_MUTEX_ERRORCHECK) ERROR(pthread_mutex_lock(&mutex), EDEADLK);
		if (type == PTHREAD_MUTEX_NORMAL) MAY_ERROR(pthread_mutex_lock(&mutex), EDEADLK);
		/* A robust mutex says so whatever its type. */
		in_thread(expect_not_owner, &mutex);
		SUCCEEDS(pthread_mutex_unlock(&mutex));
		ERROR(pthread_mutex_trylock(&other), EOWNERDEAD);
		SUCCEEDS(pthread_mutex_unlock(&other));
		ERROR(pthread_mutex_lock(&other), ENOTRECOVERABLE);
		ERROR(pthread_mutex_trylock(&other), ENOTRECOVERABLE);
		ERROR(pthread_mutex_timedlock(&other, &past), ENOTRECOVERABLE);
		SUCCEEDS(pthread_mutex_destroy(&mutex));
		SUCCEEDS(pthread_mutex_destroy(&other));
	}

	/* The owner dies while others wait: one of them learns of it. */
	pthread_mutex_t mutex = mutex_of(PTHREAD_MUTEX_NORMAL, 1, 0);
	pthread_t thread;
	struct timespec at = in(CLOCK_REALTIME, 60000);
	SUCCEEDS(pthread_create(&thread, 0, die_after_a_while, &mutex));
	take(&started);
	ERROR(pthread_mutex_timedlock(&mutex, &at), EOWNERDEAD);
	SUCCEEDS(pthread_join(thread, 0));
	SUCCEEDS(pthread_mutex_consistent(&mutex));
	SUCCEEDS(pthread_mutex_unlock(&mutex));
	SUCCEEDS(pthread_mutex_destroy(&mutex));

	pthread_mutex_t three[3];
	for (int i = 0; i < 3; i++) three[i] = mutex_of(PTHREAD_MUTEX_NORMAL, 1, i == 1);
	in_thread(die_with_three, three);
	for (int i = 0; i < 3; i++) {
		ERROR(pthread_mutex_lock(&three[i]), EOWNERDEAD);
		SUCCEEDS(pthread_mutex_consistent(&three[i]));
		SUCCEEDS(pthread_mutex_unlock(&three[i]));
		SUCCEEDS(pthread_mutex_destroy(&three[i]));
	}
}

static pthread_mutex_t counter_mutex;
static int counter;

static void *add_many(void *unused)
{
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&counter_mutex);
		counter++;
		pthread_mutex_unlock(&counter_mutex);
	}
	return unused;
}

static void contention(void)
{
	for (int type = 0; type < 3; type++) {
		pthread_t threads[4];
		counter_mutex = mutex_of(type, type == 2, 0);
		counter = 0;
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, add_many, 0));
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
		IS("pthread_mutex_lock, DESCRIPTION: one owner", counter, 80000);
		SUCCEEDS(pthread_mutex_destroy(&counter_mutex));
	}
}

void check_pthread_mutex(void)
{
	types();
	interrupted();
	robust();
	contention();
}
