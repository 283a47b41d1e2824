/* nanosleep and clock_nanosleep. */
#include "conformance.h"

static atomic_int handled, running;
static sem_t started;

static void note(int signal)
{
	(void)signal;
	handled++;
}

static const struct timespec minute = { 60, 0 };

/* What was slept and what is left make the span, but for the time between the two looks at the clock. */
static void expect_rest(const char *label, struct timespec rest, struct timespec start)
{
	int64_t sum = between(start, in(CLOCK_MONOTONIC, 0)) + (int64_t)rest.tv_sec * 1000000000 + rest.tv_nsec;
	HOLDS(label, rest.tv_sec >= 0 && rest.tv_sec <= 60 && rest.tv_nsec >= 0 && rest.tv_nsec < 1000000000);
	HOLDS(label, sum >= 60000000000);
}

/* The first signal may come so early that nothing was slept: one of the next does not. */
static void *relative(void *unused)
{
	struct timespec rest = minute;
	for (int i = 0; i < 100 && rest.tv_sec >= 60; i++) {
		struct timespec start = in(CLOCK_MONOTONIC, 0);
		sem_post(&started);
		FAILS(nanosleep(&minute, &rest), EINTR);
		expect_rest("nanosleep, DESCRIPTION: rmtp is what remains", rest, start);
	}
	HOLDS("nanosleep, DESCRIPTION: rmtp is less than was asked for", rest.tv_sec < 60);
	running = 0;
	return unused;
}

static void *relative_clock(void *unused)
{
	struct timespec rest = minute;
	for (int i = 0; i < 100 && rest.tv_sec >= 60; i++) {
		struct timespec start = in(CLOCK_MONOTONIC, 0);
		sem_post(&started);
		ERROR(clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, &rest), EINTR);
		expect_rest("clock_nanosleep, DESCRIPTION: rmtp is what remains", rest, start);
	}
	HOLDS("clock_nanosleep, DESCRIPTION: rmtp is less than was asked for", rest.tv_sec < 60);
	running = 0;
	return unused;
}

static void *absolute(void *unused)
{
	struct timespec rest = { -1, -2 }, at = in(CLOCK_REALTIME, 60000);
	sem_post(&started);
	ERROR(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, &rest), EINTR);
	IS("clock_nanosleep, DESCRIPTION: rmtp not used with TIMER_ABSTIME", rest.tv_nsec, -2);
	running = 0;
	return unused;
}

static void *absolute_monotonic(void *unused)
{
	struct timespec at = in(CLOCK_MONOTONIC, 60000);
	sem_post(&started);
	ERROR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0), EINTR);
	running = 0;
	return unused;
}

static void interrupted(void *(*routine)(void *))
{
	pthread_t thread;
	running = 1;
	SUCCEEDS(pthread_create(&thread, 0, routine, 0));
	take(&started);
	/* One that comes before the sleep does not end it: again until it has. */
	while (running) {
		SUCCEEDS(pthread_kill(thread, SIGUSR1));
		usleep(10000);
	}
	SUCCEEDS(pthread_join(thread, 0));
	while (!sem_trywait(&started)) {}
}

void check_nanosleep(void)
{
	struct timespec start = in(CLOCK_MONOTONIC, 0), rest = { -5, -5 }, span = { 0, 20000000 }, none = { 0, 0 };
	SUCCEEDS(nanosleep(&span, &rest));
	HOLDS("nanosleep, DESCRIPTION: not shorter", between(start, in(CLOCK_MONOTONIC, 0)) >= span.tv_nsec);
	SUCCEEDS(nanosleep(&none, 0));
	FAILS(nanosleep(&no_time, 0), EINVAL);
	FAILS(nanosleep(&negative_time, 0), EINVAL);
	FAILS(nanosleep(&before_epoch, 0), EINVAL);

	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };
	for (int i = 0; i < 2; i++) {
		start = in(CLOCK_MONOTONIC, 0);
		SUCCEEDS(clock_nanosleep(clocks[i], 0, &span, &rest));
		HOLDS("clock_nanosleep, DESCRIPTION: not shorter", between(start, in(CLOCK_MONOTONIC, 0)) >= span.tv_nsec);
		struct timespec at = in(clocks[i], 20);
		SUCCEEDS(clock_nanosleep(clocks[i], TIMER_ABSTIME, &at, 0));
		HOLDS("clock_nanosleep, DESCRIPTION: not before its time", between(at, in(clocks[i], 0)) >= 0);
		/* At once, if it is past. */
		SUCCEEDS(clock_nanosleep(clocks[i], TIMER_ABSTIME, &past, 0));
		SUCCEEDS(clock_nanosleep(clocks[i], TIMER_ABSTIME, &none, 0));
		ERROR(clock_nanosleep(clocks[i], TIMER_ABSTIME, &no_time, 0), EINVAL);
		ERROR(clock_nanosleep(clocks[i], 0, &negative_time, 0), EINVAL);
	}
	ERROR(clock_nanosleep(99, 0, &span, 0), EINVAL);
	ERROR(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &span, 0), EINVAL);
	/* errno is not theirs. */
	errno = 77;
	ERROR(clock_nanosleep(CLOCK_MONOTONIC, 0, &no_time, 0), EINVAL);
	IS("clock_nanosleep, RETURN VALUE: the number itself", errno, 77);

	struct sigaction old = handle(SIGUSR1, note);
	sem_init(&started, 0, 0);
	interrupted(relative);
	interrupted(relative_clock);
	interrupted(absolute);
	interrupted(absolute_monotonic);
	HOLDS("nanosleep, ERRORS [EINTR]: after the handler", handled >= 4);
	sigaction(SIGUSR1, &old, 0);

	start = in(CLOCK_MONOTONIC, 0);
	SUCCEEDS(usleep(5000));
	HOLDS("usleep, DESCRIPTION: not shorter", between(start, in(CLOCK_MONOTONIC, 0)) >= 5000000);
	IS("sleep, RETURN VALUE", sleep(0), 0);
}
