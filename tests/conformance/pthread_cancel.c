/* pthread_cancel, pthread_setcancelstate, pthread_setcanceltype, pthread_testcancel, and cleanup handlers. */
#include "conformance.h"

static pthread_mutex_t box_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t never, ready;
static atomic_int cleaned;
static int channel[2];

static void clean(void *order)
{
	cleaned = cleaned * 10 + (int)(long)order;
}

static void unlock(void *mutex)
{
	SUCCEEDS(pthread_mutex_unlock(mutex));
	cleaned = cleaned * 10 + 9;
}

/* ---- cancellation points ---- */

static void *at_pause(void *unused)
{
	pthread_cleanup_push(clean, (void *)1);
	pthread_cleanup_push(clean, (void *)2);
	sem_post(&ready);
	pause();
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return unused;
}

static void *at_cond_wait(void *unused)
{
	pthread_mutex_lock(&box_mutex);
	pthread_cleanup_push(unlock, &box_mutex);
	sem_post(&ready);
	for (;;) pthread_cond_wait(&condition, &box_mutex);
	pthread_cleanup_pop(0);
	return unused;
}

static void *at_cond_timedwait(void *unused)
{
	struct timespec at = in(CLOCK_REALTIME, 60000);
	pthread_mutex_lock(&box_mutex);
	pthread_cleanup_push(unlock, &box_mutex);
	sem_post(&ready);
	for (;;) pthread_cond_timedwait(&condition, &box_mutex, &at);
	pthread_cleanup_pop(0);
	return unused;
}

static void *at_sem_wait(void *unused)
{
	sem_post(&ready);
	sem_wait(&never);
	return unused;
}

static void *at_sem_timedwait(void *unused)
{
	struct timespec at = in(CLOCK_REALTIME, 60000);
	sem_post(&ready);
	sem_timedwait(&never, &at);
	return unused;
}

static void *at_read(void *unused)
{
	char byte;
	sem_post(&ready);
	HOLDS("read, DESCRIPTION: cancelled", read(channel[0], &byte, 1) < 0);
	return unused;
}

static void *at_nanosleep(void *unused)
{
	struct timespec span = { 60, 0 };
	sem_post(&ready);
	nanosleep(&span, 0);
	return unused;
}

static void *at_clock_nanosleep(void *unused)
{
	struct timespec at = in(CLOCK_MONOTONIC, 60000);
	sem_post(&ready);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0);
	return unused;
}

static void *at_sigwait(void *unused)
{
	sigset_t set;
	int signal;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sem_post(&ready);
	sigwait(&set, &signal);
	return unused;
}

static void *at_testcancel(void *unused)
{
	sem_post(&ready);
	for (;;) pthread_testcancel();
	return unused;
}

static void *asynchronously(void *unused)
{
	int old = -1;
	/* No check between the change and the end: it may come at any instruction. */
	int status = pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	if (status || old != PTHREAD_CANCEL_DEFERRED) return unused;
	sem_post(&ready);
	for (;;) {}
	return unused;
}

static void expect_cancelled(void *(*routine)(void *), void *argument, int delay)
{
	pthread_t thread;
	void *result = 0;
	cleaned = 0;
	SUCCEEDS(pthread_create(&thread, 0, routine, argument));
	take(&ready);
	if (delay) usleep(delay);
	SUCCEEDS(pthread_cancel(thread));
	SUCCEEDS(pthread_join(thread, &result));
	HOLDS("pthread_cancel, DESCRIPTION: PTHREAD_CANCELED", result == PTHREAD_CANCELED);
}

static void *at_join(void *target)
{
	sem_post(&ready);
	pthread_join(target, 0);
	return 0;
}

static void points(void)
{
	/* Before the wait has begun, and after. */
	for (int delay = 0; delay < 40000; delay += 20000) {
		expect_cancelled(at_pause, 0, delay);
		IS("pthread_cleanup_push, DESCRIPTION: last in, first out", cleaned, 21);
		expect_cancelled(at_cond_wait, 0, delay);
		IS("pthread_cond_wait, DESCRIPTION: the mutex is locked for the handlers", cleaned, 9);
		expect_cancelled(at_cond_timedwait, 0, delay);
		IS("pthread_cond_timedwait, DESCRIPTION: the mutex is locked for the handlers", cleaned, 9);
		expect_cancelled(at_sem_wait, 0, delay);
		expect_cancelled(at_sem_timedwait, 0, delay);
		expect_cancelled(at_read, 0, delay);
		expect_cancelled(at_nanosleep, 0, delay);
		expect_cancelled(at_clock_nanosleep, 0, delay);
		expect_cancelled(at_sigwait, 0, delay);
		expect_cancelled(at_testcancel, 0, delay);
		expect_cancelled(asynchronously, 0, delay);
	}
	SUCCEEDS(pthread_cond_destroy(&condition));
	/* None of them took what it waited for. */
	SUCCEEDS(sem_post(&never));
	SUCCEEDS(sem_trywait(&never));
	IS("write, RETURN VALUE", write(channel[1], "x", 1), 1);
	char byte;
	IS("pthread_cancel, DESCRIPTION: a cancelled read took nothing", read(channel[0], &byte, 1), 1);

	/* A cancelled join leaves its thread joinable. */
	pthread_t sleeper;
	SUCCEEDS(pthread_create(&sleeper, 0, at_sem_wait, 0));
	take(&ready);
	expect_cancelled(at_join, sleeper, 20000);
	sem_post(&never);
	SUCCEEDS(pthread_join(sleeper, 0));
}

/* ---- what is no cancellation point ---- */

static void *at_mutex_lock(void *unused)
{
	sem_post(&ready);
	SUCCEEDS(pthread_mutex_lock(&box_mutex));
	SUCCEEDS(pthread_mutex_unlock(&box_mutex));
	cleaned = 4;
	pthread_testcancel();
	cleaned = 5;
	return unused;
}

static void no_points(void)
{
	pthread_t thread;
	void *result = 0;
	cleaned = 0;
	SUCCEEDS(pthread_mutex_lock(&box_mutex));
	SUCCEEDS(pthread_create(&thread, 0, at_mutex_lock, 0));
	take(&ready);
	usleep(20000);
	SUCCEEDS(pthread_cancel(thread));
	usleep(20000);
	SUCCEEDS(pthread_mutex_unlock(&box_mutex));
	SUCCEEDS(pthread_join(thread, &result));
	HOLDS("pthread_cancel, DESCRIPTION: PTHREAD_CANCELED", result == PTHREAD_CANCELED);
	IS("pthread_mutex_lock, DESCRIPTION: no cancellation point", cleaned, 4);
}

/* ---- state and type ---- */

static void *refuse(void *unused)
{
	int old = -1;
	ERROR(pthread_setcancelstate(7, 0), EINVAL);
	ERROR(pthread_setcanceltype(7, 0), EINVAL);
	SUCCEEDS(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old));
	IS("pthread_setcanceltype, DESCRIPTION: deferred in new threads", old, PTHREAD_CANCEL_DEFERRED);
	SUCCEEDS(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
	IS("pthread_setcancelstate, DESCRIPTION: enabled in new threads", old, PTHREAD_CANCEL_ENABLE);
	sem_post(&ready);
	take(&never);
	pthread_testcancel();
	SUCCEEDS(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
	IS("pthread_setcancelstate, DESCRIPTION: the former state", old, PTHREAD_CANCEL_DISABLE);
	cleaned = 5;
	pthread_testcancel();
	cleaned = 6;
	return unused;
}

static void *cancel_self(void *unused)
{
	SUCCEEDS(pthread_cancel(pthread_self()));
	cleaned = 7;
	pthread_testcancel();
	cleaned = 8;
	return unused;
}

/* Cancelled while it was disabled, it ends when it becomes asynchronous and enabled. */
static void *enable_late(void *unused)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, 0);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
	pthread_cancel(pthread_self());
	cleaned = 1;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, 0);
	cleaned = 2;
	return unused;
}

/* Inside a handler of a thread that is being cancelled, cancellation is over: points do nothing. */
static void wait_while_cleaning(void *unused)
{
	(void)unused;
	usleep(1000);
	pthread_testcancel();
	cleaned = cleaned * 10 + 3;
}

static void *with_slow_handler(void *unused)
{
	pthread_cleanup_push(clean, (void *)4);
	pthread_cleanup_push(wait_while_cleaning, 0);
	sem_post(&ready);
	take(&never);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return unused;
}

static void *after_end(void *argument)
{
	return argument;
}

void check_pthread_cancel(void)
{
	pthread_t thread;
	void *result = 0;
	sem_init(&never, 0, 0);
	sem_init(&ready, 0, 0);
	SUCCEEDS(pipe(channel));
	points();
	no_points();

	SUCCEEDS(pthread_create(&thread, 0, refuse, 0));
	take(&ready);
	SUCCEEDS(pthread_cancel(thread));
	usleep(20000);
	sem_post(&never);
	SUCCEEDS(pthread_join(thread, &result));
	HOLDS("pthread_cancel, DESCRIPTION: PTHREAD_CANCELED", result == PTHREAD_CANCELED);
	IS("pthread_setcancelstate, DESCRIPTION: held pending", cleaned, 5);
	HOLDS("pthread_testcancel, DESCRIPTION", in_thread(cancel_self, 0) == PTHREAD_CANCELED);
	IS("pthread_testcancel, DESCRIPTION: acts there", cleaned, 7);
	/* "May be acted upon at any time": pthread-shim does at once, musl at the next point. */
	CHOICE {
		HOLDS("pthread_setcancelstate, pthread-shim: asynchronous", in_thread(enable_late, 0) == PTHREAD_CANCELED);
		IS("pthread_setcancelstate, pthread-shim: asynchronous", cleaned, 1);
	}
	expect_cancelled(with_slow_handler, 0, 10000);
	IS("pthread_cancel, DESCRIPTION: handlers run to their end", cleaned, 34);

	/* A thread that has ended, and waits to be joined. */
	SUCCEEDS(pthread_create(&thread, 0, after_end, (void *)3));
	usleep(30000);
	SUCCEEDS(pthread_cancel(thread));
	SUCCEEDS(pthread_join(thread, &result));
	IS("pthread_cancel, DESCRIPTION: what has ended keeps its value", result, 3);

	cleaned = 0;
	pthread_cleanup_push(clean, (void *)3);
	pthread_cleanup_pop(1);
	IS("pthread_cleanup_pop, DESCRIPTION: execute", cleaned, 3);
	pthread_cleanup_push(clean, (void *)3);
	pthread_cleanup_pop(0);
	IS("pthread_cleanup_pop, DESCRIPTION: do not execute", cleaned, 3);
	close(channel[0]);
	close(channel[1]);
}
