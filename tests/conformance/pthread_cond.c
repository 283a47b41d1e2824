/* pthread_cond_* and pthread_condattr_*. */
#include "conformance.h"

static void attributes(pthread_condattr_t *a)
{
	clockid_t clock = -1;
	int number = -1;
	SUCCEEDS(pthread_condattr_init(a));
	SUCCEEDS(pthread_condattr_getclock(a, &clock));
	IS("pthread_condattr_getclock, DESCRIPTION: the system clock by default", clock, CLOCK_REALTIME);
	ERROR(pthread_condattr_setclock(a, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
	ERROR(pthread_condattr_setclock(a, CLOCK_THREAD_CPUTIME_ID), EINVAL);
	ERROR(pthread_condattr_setclock(a, -5), EINVAL);
	SUCCEEDS(pthread_condattr_getpshared(a, &number));
	IS("pthread_condattr_getpshared, DESCRIPTION: private by default", number, PTHREAD_PROCESS_PRIVATE);
	ERROR(pthread_condattr_setpshared(a, 3), EINVAL);
	SUCCEEDS(pthread_condattr_setclock(a, CLOCK_MONOTONIC));
	SUCCEEDS(pthread_condattr_setpshared(a, PTHREAD_PROCESS_SHARED));
	SUCCEEDS(pthread_condattr_getpshared(a, &number));
	IS("pthread_condattr_setpshared, DESCRIPTION", number, PTHREAD_PROCESS_SHARED);
	SUCCEEDS(pthread_condattr_getclock(a, &clock));
	IS("pthread_condattr_setclock, DESCRIPTION", clock, CLOCK_MONOTONIC);
	SUCCEEDS(pthread_condattr_setpshared(a, PTHREAD_PROCESS_PRIVATE));
	SUCCEEDS(pthread_condattr_getclock(a, &clock));
	IS("pthread_condattr_setpshared, DESCRIPTION: that attribute alone", clock, CLOCK_MONOTONIC);
}

static pthread_mutex_t box_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t box_filled = PTHREAD_COND_INITIALIZER, box_emptied = PTHREAD_COND_INITIALIZER;
static int box, sum;

static void time_outs(pthread_condattr_t *a)
{
	pthread_cond_t condition;
	for (int kind = 0; kind < 4; kind++) {
		clockid_t clock = kind & 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
		SUCCEEDS(pthread_condattr_setclock(a, clock));
		SUCCEEDS(pthread_condattr_setpshared(a, kind & 2 ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE));
		SUCCEEDS(pthread_cond_init(&condition, a));
		SUCCEEDS(pthread_mutex_lock(&box_mutex));
		struct timespec at = in(clock, 30);
		ERROR(pthread_cond_timedwait(&condition, &box_mutex, &at), ETIMEDOUT);
		HOLDS("pthread_cond_timedwait, DESCRIPTION: by its clock", between(at, in(clock, 0)) >= 0);
		ERROR(pthread_cond_timedwait(&condition, &box_mutex, &past), ETIMEDOUT);
		ERROR(pthread_cond_timedwait(&condition, &box_mutex, &before_epoch), ETIMEDOUT);
		ERROR(pthread_cond_timedwait(&condition, &box_mutex, &no_time), EINVAL);
		ERROR(pthread_cond_timedwait(&condition, &box_mutex, &negative_time), EINVAL);
		CHOICE {
			at = in(CLOCK_MONOTONIC, 20);
			ERROR(pthread_cond_clockwait(&condition, &box_mutex, CLOCK_MONOTONIC, &at), ETIMEDOUT);
			HOLDS("pthread_cond_clockwait, DESCRIPTION: by that clock", between(at, in(CLOCK_MONOTONIC, 0)) >= 0);
			at = in(CLOCK_REALTIME, 20);
			ERROR(pthread_cond_clockwait(&condition, &box_mutex, CLOCK_REALTIME, &at), ETIMEDOUT);
			HOLDS("pthread_cond_clockwait, DESCRIPTION: by that clock", between(at, in(CLOCK_REALTIME, 0)) >= 0);
			ERROR(pthread_cond_clockwait(&condition, &box_mutex, 55, &at), EINVAL);
			ERROR(pthread_cond_clockwait(&condition, &box_mutex, CLOCK_MONOTONIC, &no_time), EINVAL);
		}
		/* Still held after all of these. */
		IS("pthread_cond_timedwait, RETURN VALUE: the mutex is locked", pthread_mutex_trylock(&box_mutex), EBUSY);
		SUCCEEDS(pthread_mutex_unlock(&box_mutex));
		SUCCEEDS(pthread_cond_destroy(&condition));
	}
}

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
	while (!open_gate) SUCCEEDS(pthread_cond_wait(condition, &box_mutex));
	waiting--;
	pthread_mutex_unlock(&box_mutex);
	return 0;
}

static void *timed_wait_for_gate(void *condition)
{
	struct timespec at = in(CLOCK_REALTIME, 60000);
	pthread_mutex_lock(&box_mutex);
	waiting++;
	while (!open_gate) SUCCEEDS(pthread_cond_timedwait(condition, &box_mutex, &at));
	waiting--;
	pthread_mutex_unlock(&box_mutex);
	return 0;
}

/* Returns with `box_mutex` held, when so many wait. */
static void lock_when_waiting(int count)
{
	for (;;) {
		pthread_mutex_lock(&box_mutex);
		if (waiting == count) return;
		pthread_mutex_unlock(&box_mutex);
		sched_yield();
	}
}

static void wake_ups(void)
{
	pthread_cond_t condition;
	pthread_t threads[8];
	SUCCEEDS(pthread_cond_init(&condition, 0));
	/* With nobody there, these have no effect, now or later. */
	SUCCEEDS(pthread_cond_signal(&condition));
	SUCCEEDS(pthread_cond_broadcast(&condition));
	SUCCEEDS(pthread_mutex_lock(&box_mutex));
	IS("pthread_cond_signal, DESCRIPTION: no effect without waiters",
	   pthread_cond_timedwait(&condition, &box_mutex, &past), ETIMEDOUT);
	SUCCEEDS(pthread_mutex_unlock(&box_mutex));

	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, fill, 0));
	for (int i = 4; i < 8; i++) SUCCEEDS(pthread_create(&threads[i], 0, empty, 0));
	for (int i = 0; i < 8; i++) SUCCEEDS(pthread_join(threads[i], 0));
	IS("pthread_cond_wait, DESCRIPTION: no wake-up is lost", sum, 4 * 2001000);

	open_gate = waiting = 0;
	for (int i = 0; i < 8; i++) {
		SUCCEEDS(pthread_create(&threads[i], 0, i % 2 ? timed_wait_for_gate : wait_for_gate, &condition));
	}
	lock_when_waiting(8);
	MAY_ERROR(pthread_cond_destroy(&condition), EBUSY);
	open_gate = 1;
	SUCCEEDS(pthread_cond_broadcast(&condition));
	/* After a broadcast nobody is blocked: it may go at once. */
	SUCCEEDS(pthread_cond_destroy(&condition));
	memset(&condition, 0xa5, sizeof condition);
	SUCCEEDS(pthread_mutex_unlock(&box_mutex));
	for (int i = 0; i < 8; i++) SUCCEEDS(pthread_join(threads[i], 0));
	IS("pthread_cond_broadcast, DESCRIPTION: all waiters", waiting, 0);

	/* As many signals as waiters wake them all, with the mutex held or not. */
	SUCCEEDS(pthread_cond_init(&condition, 0));
	open_gate = 0;
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, wait_for_gate, &condition));
	lock_when_waiting(4);
	open_gate = 1;
	SUCCEEDS(pthread_cond_signal(&condition));
	SUCCEEDS(pthread_cond_signal(&condition));
	SUCCEEDS(pthread_mutex_unlock(&box_mutex));
	SUCCEEDS(pthread_cond_signal(&condition));
	SUCCEEDS(pthread_cond_signal(&condition));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
	IS("pthread_cond_signal, DESCRIPTION: at least one waiter each", waiting, 0);
	SUCCEEDS(pthread_cond_destroy(&condition));
}

/* A recursive mutex held once is given back for the wait, and a checking one must be the caller's. */
static void mutexes(void)
{
	pthread_cond_t condition;
	SUCCEEDS(pthread_cond_init(&condition, 0));
	pthread_mutex_t checked = mutex_of(PTHREAD_MUTEX_ERRORCHECK, 0, 0);
	ERROR(pthread_cond_wait(&condition, &checked), EPERM);
	ERROR(pthread_cond_timedwait(&condition, &checked, &past), EPERM);
	SUCCEEDS(pthread_mutex_lock(&checked));
	ERROR(pthread_cond_timedwait(&condition, &checked, &past), ETIMEDOUT);
	SUCCEEDS(pthread_mutex_unlock(&checked));
	SUCCEEDS(pthread_mutex_destroy(&checked));
	pthread_mutex_t robust = mutex_of(PTHREAD_MUTEX_NORMAL, 1, 0);
	ERROR(pthread_cond_wait(&condition, &robust), EPERM);
	SUCCEEDS(pthread_mutex_destroy(&robust));
	SUCCEEDS(pthread_cond_destroy(&condition));
}

static pthread_mutex_t dying_mutex;

static void *lock_and_die(void *condition)
{
	SUCCEEDS(pthread_mutex_lock(&dying_mutex));
	SUCCEEDS(pthread_cond_signal(condition));
	return 0;
}

/* The mutex's owner dies while another waits for the condition. */
static void owner_dies(void)
{
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	pthread_t thread;
	struct timespec at = in(CLOCK_REALTIME, 60000);
	dying_mutex = mutex_of(PTHREAD_MUTEX_NORMAL, 1, 0);
	SUCCEEDS(pthread_mutex_lock(&dying_mutex));
	SUCCEEDS(pthread_create(&thread, 0, lock_and_die, &condition));
	ERROR(pthread_cond_timedwait(&condition, &dying_mutex, &at), EOWNERDEAD);
	SUCCEEDS(pthread_join(thread, 0));
	SUCCEEDS(pthread_mutex_consistent(&dying_mutex));
	SUCCEEDS(pthread_mutex_unlock(&dying_mutex));
	SUCCEEDS(pthread_mutex_destroy(&dying_mutex));
}

void check_pthread_cond(void)
{
	pthread_condattr_t a;
	attributes(&a);
	time_outs(&a);
	SUCCEEDS(pthread_condattr_destroy(&a));
	mutexes();
	wake_ups();
	owner_dies();
}
