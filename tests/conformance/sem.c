/* sem_*, but for named semaphores (sem_open.c). */
#include "conformance.h"

static sem_t ping, pong;

static void *answer(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		take(&ping);
		sem_post(&pong);
	}
	return unused;
}

static void *post_and_forget(void *semaphore)
{
	sem_post(semaphore);
	return 0;
}

/* At every place that sem_t may have: it is aligned to 4 bytes only. */
static void everywhere(int offset)
{
	int room[20], value = -1;
	sem_t *semaphore = (sem_t *)(room + offset);
	memset(room, 0x77, sizeof room);
	FAILS(sem_init(semaphore, 0, SEM_VALUE_MAX + 1U), EINVAL);
	SUCCEEDS(sem_init(semaphore, offset % 2, 1));
	IS("sem_init, DESCRIPTION: nothing beyond sem_t", room[offset + 8], 0x77777777);
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_getvalue, DESCRIPTION", value, 1);
	SUCCEEDS(sem_trywait(semaphore));
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_trywait, DESCRIPTION: one less", value, 0);
	FAILS(sem_trywait(semaphore), EAGAIN);
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_trywait, RETURN VALUE: state unchanged", value, 0);
	struct timespec at = in(CLOCK_REALTIME, 20);
	FAILS(sem_timedwait(semaphore, &at), ETIMEDOUT);
	HOLDS("sem_timedwait, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	CHOICE {
		at = in(CLOCK_MONOTONIC, 20);
		FAILS(sem_clockwait(semaphore, CLOCK_MONOTONIC, &at), ETIMEDOUT);
		HOLDS("sem_clockwait, DESCRIPTION: not before its time", between(at, in(CLOCK_MONOTONIC, 0)) >= 0);
		at = in(CLOCK_REALTIME, 20);
		FAILS(sem_clockwait(semaphore, CLOCK_REALTIME, &at), ETIMEDOUT);
		HOLDS("sem_clockwait, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
		FAILS(sem_clockwait(semaphore, CLOCK_THREAD_CPUTIME_ID, &at), EINVAL);
		FAILS(sem_clockwait(semaphore, CLOCK_MONOTONIC, &no_time), EINVAL);
	}
	FAILS(sem_timedwait(semaphore, &past), ETIMEDOUT);
	FAILS(sem_timedwait(semaphore, &before_epoch), ETIMEDOUT);
	FAILS(sem_timedwait(semaphore, &no_time), EINVAL);
	FAILS(sem_timedwait(semaphore, &negative_time), EINVAL);
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_timedwait, RETURN VALUE: state unchanged", value, 0);
	SUCCEEDS(sem_post(semaphore));
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_post, DESCRIPTION: one more", value, 1);
	SUCCEEDS(sem_timedwait(semaphore, &no_time));
	in_thread(post_and_forget, semaphore);
	SUCCEEDS(sem_wait(semaphore));
	SUCCEEDS(sem_destroy(semaphore));
	SUCCEEDS(sem_init(semaphore, 0, SEM_VALUE_MAX));
	FAILS(sem_post(semaphore), EOVERFLOW);
	SUCCEEDS(sem_getvalue(semaphore, &value));
	IS("sem_post, ERRORS [EOVERFLOW]: state unchanged", value, SEM_VALUE_MAX);
	/* Copied, as musl's sem_open does, it means the same wherever it lands. */
	int other[20];
	for (int place = 0; place < 4; place++) {
		memcpy(other + place, semaphore, sizeof *semaphore);
		SUCCEEDS(sem_getvalue((sem_t *)(other + place), &value));
		IS("sem_getvalue, pthread-shim: of a copy", value, SEM_VALUE_MAX);
	}
	SUCCEEDS(sem_destroy(semaphore));
}

static sem_t never, started;
static atomic_int handled;

static void note(int signal)
{
	(void)signal;
	handled++;
}

static void *wait_interrupted(void *timed)
{
	struct timespec at = in(CLOCK_REALTIME, 60000);
	sem_post(&started);
	if (timed) FAILS(sem_timedwait(&never, &at), EINTR);
	else FAILS(sem_wait(&never), EINTR);
	return 0;
}

static atomic_int posted;

/* sem_post is what a signal handler may call. */
static void post(int signal)
{
	(void)signal;
	sem_post(&pong);
	posted++;
}

static void interrupted(void)
{
	struct sigaction old = handle(SIGUSR1, note);
	sem_init(&never, 0, 0);
	sem_init(&started, 0, 0);
	for (int timed = 0; timed < 2; timed++) {
		pthread_t thread;
		SUCCEEDS(pthread_create(&thread, 0, wait_interrupted, timed ? &never : 0));
		take(&started);
		/* One that comes before the wait does not end it: again until it has. */
		while (pthread_tryjoin_np(thread, 0) == EBUSY) {
			SUCCEEDS(pthread_kill(thread, SIGUSR1));
			usleep(10000);
		}
	}
	HOLDS("sem_wait, ERRORS [EINTR]: after the handler", handled >= 2);
	/* The waits that were given up took nothing. */
	SUCCEEDS(sem_post(&never));
	SUCCEEDS(sem_trywait(&never));
	handle(SIGUSR1, post);
	SUCCEEDS(raise(SIGUSR1));
	IS("sem_post, DESCRIPTION: async-signal-safe", posted, 1);
	SUCCEEDS(sem_trywait(&pong));
	sigaction(SIGUSR1, &old, 0);
}

static void *wait_there(void *semaphore)
{
	sem_post(&started);
	take(semaphore);
	return 0;
}

void check_sem(void)
{
	pthread_t thread, many[4];
	for (int offset = 0; offset < 4; offset++) everywhere(offset);
	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	SUCCEEDS(pthread_create(&thread, 0, answer, 0));
	for (int i = 0; i < 2000; i++) {
		sem_post(&ping);
		take(&pong);
	}
	SUCCEEDS(pthread_join(thread, 0));
	FAILS(sem_trywait(&pong), EAGAIN);
	/* A semaphore on the waiter's stack, gone as soon as it is posted. */
	for (int i = 0; i < 500; i++) {
		sem_t brief;
		sem_init(&brief, 0, 0);
		SUCCEEDS(pthread_create(&thread, 0, post_and_forget, &brief));
		take(&brief);
		sem_destroy(&brief);
		memset(&brief, 0xff, sizeof brief);
		SUCCEEDS(pthread_join(thread, 0));
	}
	interrupted();
	/* As many posts as waiters wake them all. */
	for (int i = 0; i < 4; i++) {
		SUCCEEDS(pthread_create(&many[i], 0, wait_there, &ping));
		take(&started);
	}
	usleep(20000);
	for (int i = 0; i < 4; i++) SUCCEEDS(sem_post(&ping));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(many[i], 0));
	FAILS(sem_trywait(&ping), EAGAIN);
	HOLDS("limits_h, Maximum Values: SEM_VALUE_MAX", SEM_VALUE_MAX >= _POSIX_SEM_VALUE_MAX);
}
