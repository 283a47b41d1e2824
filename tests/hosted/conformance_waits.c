/* Mutexes, condition variables, read-write locks, barriers, spin locks, semaphores. */
#include "conformance.h"

pthread_mutex_t mutex_of(int type, int robust, int shared)
{
	pthread_mutexattr_t a;
	pthread_mutex_t mutex;
	pthread_mutexattr_init(&a);
	EQUAL(pthread_mutexattr_settype(&a, type), 0);
	EQUAL(pthread_mutexattr_setrobust(&a, robust), 0);
	EQUAL(pthread_mutexattr_setpshared(&a, shared), 0);
	EQUAL(pthread_mutex_init(&mutex, &a), 0);
	pthread_mutexattr_destroy(&a);
	return mutex;
}

static void *lock_and_die(void *mutex)
{
	return (void *)(long)pthread_mutex_lock(mutex);
}

static void *expect_busy(void *mutex)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	EQUAL(pthread_mutex_trylock(mutex), EBUSY);
	EQUAL(pthread_mutex_timedlock(mutex, &at), ETIMEDOUT);
	at = in(CLOCK_MONOTONIC, 20);
	EQUAL(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &at), ETIMEDOUT);
	EQUAL(pthread_mutex_clocklock(mutex, CLOCK_PROCESS_CPUTIME_ID, &at), EINVAL);
	EQUAL(pthread_mutex_timedlock(mutex, &past), ETIMEDOUT);
	EQUAL(pthread_mutex_timedlock(mutex, &before_epoch), ETIMEDOUT);
	EQUAL(pthread_mutex_timedlock(mutex, &no_time), EINVAL);
	return 0;
}

static void *expect_not_owner(void *mutex)
{
	EQUAL(pthread_mutex_unlock(mutex), EPERM);
	return 0;
}

void mutexes(void)
{
	pthread_mutexattr_t a;
	int number = -1;
	EQUAL(pthread_mutexattr_init(&a), 0);
	EQUAL(pthread_mutexattr_gettype(&a, &number), 0);
	EQUAL(number, PTHREAD_MUTEX_DEFAULT);
	EQUAL(pthread_mutexattr_settype(&a, 3), EINVAL);
	EQUAL(pthread_mutexattr_settype(&a, -1), EINVAL);
	EQUAL(pthread_mutexattr_setrobust(&a, 2), EINVAL);
	EQUAL(pthread_mutexattr_setpshared(&a, 2), EINVAL);
	EQUAL(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST), 0);
	EQUAL(pthread_mutexattr_getrobust(&a, &number), 0);
	EQUAL(number, PTHREAD_MUTEX_ROBUST);
	EQUAL(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	EQUAL(pthread_mutexattr_getpshared(&a, &number), 0);
	EQUAL(number, PTHREAD_PROCESS_SHARED);
	EQUAL(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_NONE), 0);
	EQUAL(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT), ENOTSUP);
	EQUAL(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_PROTECT), ENOTSUP);
	EQUAL(pthread_mutexattr_setprotocol(&a, 9), EINVAL);
	EQUAL(pthread_mutexattr_getprotocol(&a, &number), 0);
	EQUAL(number, PTHREAD_PRIO_NONE);
	EQUAL(pthread_mutexattr_destroy(&a), 0);

	for (int type = 0; type < 3; type++) for (int shared = 0; shared < 2; shared++) {
		pthread_mutex_t mutex = mutex_of(type, 0, shared);
		EQUAL(pthread_mutex_lock(&mutex), 0);
		EQUAL(pthread_mutex_destroy(&mutex), EBUSY);
		in_thread(expect_busy, &mutex);
		if (type == PTHREAD_MUTEX_ERRORCHECK) {
			EQUAL(pthread_mutex_lock(&mutex), EDEADLK);
			EQUAL(pthread_mutex_trylock(&mutex), EBUSY);
		}
		if (type == PTHREAD_MUTEX_RECURSIVE) {
			EQUAL(pthread_mutex_lock(&mutex), 0);
			EQUAL(pthread_mutex_trylock(&mutex), 0);
			EQUAL(pthread_mutex_unlock(&mutex), 0);
			EQUAL(pthread_mutex_unlock(&mutex), 0);
		}
		if (type == PTHREAD_MUTEX_NORMAL) EQUAL(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
		else in_thread(expect_not_owner, &mutex);
		EQUAL(pthread_mutex_consistent(&mutex), EINVAL);
		EQUAL(pthread_mutex_unlock(&mutex), 0);
		if (type != PTHREAD_MUTEX_NORMAL) EQUAL(pthread_mutex_unlock(&mutex), EPERM);
		/* A free mutex is taken whatever the deadline. */
		EQUAL(pthread_mutex_timedlock(&mutex, &no_time), 0);
		EQUAL(pthread_mutex_unlock(&mutex), 0);
		EQUAL(pthread_mutex_destroy(&mutex), 0);
	}

	pthread_mutex_t fixed = PTHREAD_MUTEX_INITIALIZER;
	EQUAL(pthread_mutex_lock(&fixed), 0);
	EQUAL(pthread_mutex_unlock(&fixed), 0);
	EQUAL(pthread_mutex_getprioceiling(&fixed, &number), EINVAL);
	EQUAL(pthread_mutex_setprioceiling(&fixed, 1, &number), EINVAL);

	for (int type = 0; type < 3; type++) {
		pthread_mutex_t mutex = mutex_of(type, 1, 0), other = mutex_of(type, 1, 0);
		CHECK(!in_thread(lock_and_die, &mutex));
		CHECK(!in_thread(lock_and_die, &other));
		EQUAL(pthread_mutex_lock(&mutex), EOWNERDEAD);
		EQUAL(pthread_mutex_consistent(&mutex), 0);
		EQUAL(pthread_mutex_unlock(&mutex), 0);
		EQUAL(pthread_mutex_lock(&mutex), 0);
		if (type != PTHREAD_MUTEX_RECURSIVE) EQUAL(pthread_mutex_lock(&mutex), EDEADLK);
		EQUAL(pthread_mutex_unlock(&mutex), 0);
		EQUAL(pthread_mutex_trylock(&other), EOWNERDEAD);
		EQUAL(pthread_mutex_unlock(&other), 0);
		EQUAL(pthread_mutex_lock(&other), ENOTRECOVERABLE);
		EQUAL(pthread_mutex_trylock(&other), ENOTRECOVERABLE);
		EQUAL(pthread_mutex_destroy(&mutex), 0);
		EQUAL(pthread_mutex_destroy(&other), 0);
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

void contention(void)
{
	for (int type = 0; type < 3; type++) {
		pthread_t threads[4];
		counter_mutex = mutex_of(type, type == 2, 0);
		counter = 0;
		for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, add_many, 0);
		for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
		EQUAL(counter, 80000);
		pthread_mutex_destroy(&counter_mutex);
	}
}

/* ---- condition variables ---- */

static pthread_mutex_t box_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t box_filled = PTHREAD_COND_INITIALIZER, box_emptied = PTHREAD_COND_INITIALIZER;
static int box, sum;

static void *fill(void *unused)
{
	for (int i = 1; i <= 2000; i++) {
		pthread_mutex_lock(&box_mutex);
		while (box) pthread_cond_wait(&box_emptied, &box_mutex);
		box = i;
		pthread_cond_signal(&box_filled);
		pthread_mutex_unlock(&box_mutex);
	}
	return unused;
}

static void *empty(void *unused)
{
	for (int i = 1; i <= 2000; i++) {
		pthread_mutex_lock(&box_mutex);
		while (!box) pthread_cond_wait(&box_filled, &box_mutex);
		sum += box;
		box = 0;
		pthread_mutex_unlock(&box_mutex);
		pthread_cond_signal(&box_emptied);
	}
	return unused;
}

static int open_gate, waiting;

static void *wait_for_gate(void *condition)
{
	pthread_mutex_lock(&box_mutex);
	waiting++;
	while (!open_gate) EQUAL(pthread_cond_wait(condition, &box_mutex), 0);
	waiting--;
	pthread_mutex_unlock(&box_mutex);
	return 0;
}

void conditions(void)
{
	pthread_condattr_t a;
	pthread_cond_t condition;
	clockid_t clock = -1;
	int number;
	EQUAL(pthread_condattr_init(&a), 0);
	EQUAL(pthread_condattr_getclock(&a, &clock), 0);
	EQUAL(clock, CLOCK_REALTIME);
	EQUAL(pthread_condattr_setclock(&a, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
	EQUAL(pthread_condattr_setclock(&a, -5), EINVAL);
	EQUAL(pthread_condattr_setpshared(&a, 3), EINVAL);
	EQUAL(pthread_condattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	EQUAL(pthread_condattr_getpshared(&a, &number), 0);
	EQUAL(number, PTHREAD_PROCESS_SHARED);

	for (int monotonic = 0; monotonic < 2; monotonic++) {
		clock = monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME;
		EQUAL(pthread_condattr_setclock(&a, clock), 0);
		EQUAL(pthread_cond_init(&condition, &a), 0);
		pthread_mutex_lock(&box_mutex);
		struct timespec start = in(CLOCK_MONOTONIC, 0), at = in(clock, 50);
		EQUAL(pthread_cond_timedwait(&condition, &box_mutex, &at), ETIMEDOUT);
		CHECK(elapsed(start) >= 49);
		EQUAL(pthread_cond_timedwait(&condition, &box_mutex, &past), ETIMEDOUT);
		EQUAL(pthread_cond_timedwait(&condition, &box_mutex, &no_time), EINVAL);
		at = in(CLOCK_MONOTONIC, 20);
		EQUAL(pthread_cond_clockwait(&condition, &box_mutex, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		at = in(CLOCK_REALTIME, 20);
		EQUAL(pthread_cond_clockwait(&condition, &box_mutex, CLOCK_REALTIME, &at), ETIMEDOUT);
		EQUAL(pthread_cond_clockwait(&condition, &box_mutex, 55, &at), EINVAL);
		/* Still held after all of these. */
		EQUAL(pthread_mutex_trylock(&box_mutex), EBUSY);
		pthread_mutex_unlock(&box_mutex);
		EQUAL(pthread_cond_destroy(&condition), 0);
	}
	EQUAL(pthread_condattr_destroy(&a), 0);

	pthread_mutex_t checked = mutex_of(PTHREAD_MUTEX_ERRORCHECK, 0, 0);
	EQUAL(pthread_cond_init(&condition, 0), 0);
	EQUAL(pthread_cond_wait(&condition, &checked), EPERM);
	EQUAL(pthread_cond_signal(&condition), 0);
	EQUAL(pthread_cond_broadcast(&condition), 0);

	pthread_t threads[8];
	for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, fill, 0);
	for (int i = 4; i < 8; i++) pthread_create(&threads[i], 0, empty, 0);
	for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
	EQUAL(sum, 4 * 2001000);

	for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, wait_for_gate, &condition);
	for (;;) {
		pthread_mutex_lock(&box_mutex);
		if (waiting == 8) break;
		pthread_mutex_unlock(&box_mutex);
		sched_yield();
	}
	EQUAL(pthread_cond_destroy(&condition), EBUSY);
	open_gate = 1;
	EQUAL(pthread_cond_broadcast(&condition), 0);
	/* After a broadcast nobody is blocked: it may go at once. */
	EQUAL(pthread_cond_destroy(&condition), 0);
	memset(&condition, 0xa5, sizeof condition);
	pthread_mutex_unlock(&box_mutex);
	for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
	EQUAL(waiting, 0);
}

/* ---- read-write locks, barriers, spin locks ---- */

static void *expect_readers(void *lock)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	EQUAL(pthread_rwlock_trywrlock(lock), EBUSY);
	EQUAL(pthread_rwlock_timedwrlock(lock, &at), ETIMEDOUT);
	at = in(CLOCK_MONOTONIC, 20);
	EQUAL(pthread_rwlock_clockwrlock(lock, CLOCK_MONOTONIC, &at), ETIMEDOUT);
	EQUAL(pthread_rwlock_clockwrlock(lock, 99, &at), EINVAL);
	EQUAL(pthread_rwlock_timedwrlock(lock, &no_time), EINVAL);
	EQUAL(pthread_rwlock_tryrdlock(lock), 0);
	EQUAL(pthread_rwlock_unlock(lock), 0);
	return 0;
}

static void *expect_writer(void *lock)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	EQUAL(pthread_rwlock_trywrlock(lock), EBUSY);
	EQUAL(pthread_rwlock_tryrdlock(lock), EBUSY);
	EQUAL(pthread_rwlock_timedrdlock(lock, &at), ETIMEDOUT);
	at = in(CLOCK_MONOTONIC, 20);
	EQUAL(pthread_rwlock_clockrdlock(lock, CLOCK_MONOTONIC, &at), ETIMEDOUT);
	EQUAL(pthread_rwlock_clockrdlock(lock, 99, &at), EINVAL);
	EQUAL(pthread_rwlock_timedrdlock(lock, &past), ETIMEDOUT);
	EQUAL(pthread_rwlock_unlock(lock), EPERM);
	return 0;
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
	CHECK(!differed);
	return unused;
}

void rwlocks(void)
{
	pthread_rwlockattr_t a;
	int number = -1;
	pthread_rwlock_t lock;
	EQUAL(pthread_rwlockattr_init(&a), 0);
	EQUAL(pthread_rwlockattr_setpshared(&a, 2), EINVAL);
	EQUAL(pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	EQUAL(pthread_rwlockattr_getpshared(&a, &number), 0);
	EQUAL(number, PTHREAD_PROCESS_SHARED);
	EQUAL(pthread_rwlock_init(&lock, &a), 0);
	EQUAL(pthread_rwlockattr_destroy(&a), 0);
	EQUAL(pthread_rwlock_unlock(&lock), EPERM);
	EQUAL(pthread_rwlock_rdlock(&lock), 0);
	EQUAL(pthread_rwlock_rdlock(&lock), 0);
	in_thread(expect_readers, &lock);
	EQUAL(pthread_rwlock_destroy(&lock), EBUSY);
	EQUAL(pthread_rwlock_unlock(&lock), 0);
	EQUAL(pthread_rwlock_unlock(&lock), 0);
	EQUAL(pthread_rwlock_wrlock(&lock), 0);
	EQUAL(pthread_rwlock_wrlock(&lock), EDEADLK);
	EQUAL(pthread_rwlock_rdlock(&lock), EDEADLK);
	in_thread(expect_writer, &lock);
	EQUAL(pthread_rwlock_unlock(&lock), 0);
	EQUAL(pthread_rwlock_timedrdlock(&lock, &no_time), 0);
	EQUAL(pthread_rwlock_unlock(&lock), 0);
	EQUAL(pthread_rwlock_timedwrlock(&lock, &no_time), 0);
	EQUAL(pthread_rwlock_unlock(&lock), 0);
	EQUAL(pthread_rwlock_destroy(&lock), 0);
	pthread_t threads[6];
	for (int i = 0; i < 6; i++) pthread_create(&threads[i], 0, i % 2 ? write_both : read_both, 0);
	for (int i = 0; i < 6; i++) pthread_join(threads[i], 0);
	EQUAL(one_half, 9000);
}

static pthread_barrier_t barrier;
static atomic_int serial, round_sum[50];

static void *pass_barriers(void *unused)
{
	for (int i = 0; i < 50; i++) {
		round_sum[i]++;
		int result = pthread_barrier_wait(&barrier);
		EQUAL(round_sum[i], 4);
		if (result == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
		else EQUAL(result, 0);
	}
	return unused;
}

static void *pass_and_destroy(void *each)
{
	if (pthread_barrier_wait(each) == PTHREAD_BARRIER_SERIAL_THREAD) {
		EQUAL(pthread_barrier_destroy(each), 0);
		memset(each, 0x5a, sizeof(pthread_barrier_t));
	}
	return 0;
}

void barriers_and_spin_locks(void)
{
	pthread_barrierattr_t a;
	int number = -1;
	pthread_t threads[4];
	EQUAL(pthread_barrierattr_init(&a), 0);
	EQUAL(pthread_barrierattr_setpshared(&a, 2), EINVAL);
	EQUAL(pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	EQUAL(pthread_barrierattr_getpshared(&a, &number), 0);
	EQUAL(number, PTHREAD_PROCESS_SHARED);
	EQUAL(pthread_barrier_init(&barrier, &a, 0), EINVAL);
	for (int kind = 0; kind < 2; kind++) {
		EQUAL(pthread_barrier_init(&barrier, kind ? &a : 0, 4), 0);
		serial = 0;
		for (int i = 0; i < 50; i++) round_sum[i] = 0;
		for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, pass_barriers, 0);
		for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
		EQUAL(serial, 50);
		EQUAL(pthread_barrier_destroy(&barrier), 0);
	}
	EQUAL(pthread_barrierattr_destroy(&a), 0);
	for (int i = 0; i < 50; i++) {
		pthread_barrier_t *each = malloc(sizeof *each);
		pthread_barrier_init(each, 0, 3);
		for (int j = 0; j < 3; j++) pthread_create(&threads[j], 0, pass_and_destroy, each);
		for (int j = 0; j < 3; j++) pthread_join(threads[j], 0);
		free(each);
	}

	pthread_spinlock_t spin;
	EQUAL(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE), 0);
	EQUAL(pthread_spin_lock(&spin), 0);
	EQUAL(pthread_spin_trylock(&spin), EBUSY);
	EQUAL(pthread_spin_destroy(&spin), EBUSY);
	EQUAL(pthread_spin_unlock(&spin), 0);
	EQUAL(pthread_spin_unlock(&spin), EPERM);
	EQUAL(pthread_spin_trylock(&spin), 0);
	EQUAL(pthread_spin_unlock(&spin), 0);
	EQUAL(pthread_spin_destroy(&spin), 0);
}

/* ---- semaphores ---- */

static sem_t ping, pong;

static void *answer(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		while (sem_wait(&ping)) {}
		sem_post(&pong);
	}
	return unused;
}

static void *post_and_forget(void *semaphore)
{
	sem_post(semaphore);
	return 0;
}

void semaphores(void)
{
	/* At every place that sem_t may have: it is aligned to 4 bytes only. */
	int room[20];
	for (int offset = 0; offset < 4; offset++) {
		sem_t *semaphore = (sem_t *)(room + offset);
		int value = -1;
		memset(room, 0x77, sizeof room);
		FAILS(sem_init(semaphore, 0, SEM_VALUE_MAX + 1U), EINVAL);
		EQUAL(sem_init(semaphore, offset % 2, 1), 0);
		EQUAL(room[offset + 8], 0x77777777);
		EQUAL(sem_getvalue(semaphore, &value), 0);
		EQUAL(value, 1);
		EQUAL(sem_trywait(semaphore), 0);
		FAILS(sem_trywait(semaphore), EAGAIN);
		struct timespec start = in(CLOCK_MONOTONIC, 0), at = in(CLOCK_REALTIME, 20);
		FAILS(sem_timedwait(semaphore, &at), ETIMEDOUT);
		at = in(CLOCK_MONOTONIC, 20);
		FAILS(sem_clockwait(semaphore, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		CHECK(elapsed(start) >= 38);
		at = in(CLOCK_REALTIME, 20);
		FAILS(sem_clockwait(semaphore, CLOCK_REALTIME, &at), ETIMEDOUT);
		FAILS(sem_clockwait(semaphore, CLOCK_THREAD_CPUTIME_ID, &at), EINVAL);
		FAILS(sem_timedwait(semaphore, &past), ETIMEDOUT);
		FAILS(sem_timedwait(semaphore, &before_epoch), ETIMEDOUT);
		FAILS(sem_timedwait(semaphore, &no_time), EINVAL);
		EQUAL(sem_post(semaphore), 0);
		EQUAL(sem_timedwait(semaphore, &no_time), 0);
		in_thread(post_and_forget, semaphore);
		EQUAL(sem_wait(semaphore), 0);
		EQUAL(sem_destroy(semaphore), 0);
		EQUAL(sem_init(semaphore, 0, SEM_VALUE_MAX), 0);
		FAILS(sem_post(semaphore), EOVERFLOW);
		/* Copied, as sem_open does, it means the same wherever it lands. */
		int other[20];
		for (int place = 0; place < 4; place++) {
			memcpy(other + place, semaphore, sizeof *semaphore);
			EQUAL(sem_getvalue((sem_t *)(other + place), &value), 0);
			EQUAL(value, SEM_VALUE_MAX);
		}
	}
	pthread_t thread;
	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	pthread_create(&thread, 0, answer, 0);
	for (int i = 0; i < 2000; i++) {
		sem_post(&ping);
		while (sem_wait(&pong)) {}
	}
	pthread_join(thread, 0);
	/* A semaphore on the waiter's stack, gone as soon as it is posted. */
	for (int i = 0; i < 500; i++) {
		sem_t brief;
		sem_init(&brief, 0, 0);
		pthread_create(&thread, 0, post_and_forget, &brief);
		while (sem_wait(&brief)) {}
		sem_destroy(&brief);
		memset(&brief, 0xff, sizeof brief);
		pthread_join(thread, 0);
	}
	FAILS(sem_unlink("/pythonos-conformance-none"), ENOENT);
	CHECK(sem_open("/pythonos-conformance-none", 0) == SEM_FAILED);
	sem_t *named = sem_open("/pythonos-conformance", O_CREAT | O_EXCL, 0600, 2);
	CHECK(named != SEM_FAILED);
	if (named != SEM_FAILED) {
		EQUAL(sem_trywait(named), 0);
		EQUAL(sem_trywait(named), 0);
		FAILS(sem_trywait(named), EAGAIN);
		EQUAL(sem_close(named), 0);
		EQUAL(sem_unlink("/pythonos-conformance"), 0);
	}
}
