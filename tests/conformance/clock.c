/* clock_gettime, clock_getres, clock_settime, clock_getcpuclockid, pthread_getcpuclockid, and the older names: time,
 * gettimeofday, clock. */
#include "conformance.h"

static volatile unsigned work;

static void burn(struct timespec span, clockid_t clock)
{
	struct timespec start;
	clock_gettime(clock, &start);
	for (;;) {
		for (int i = 0; i < 10000; i++) work += i;
		struct timespec now;
		clock_gettime(clock, &now);
		if (between(start, now) >= span.tv_sec * 1000000000 + span.tv_nsec) return;
	}
}

static int64_t show(clockid_t clock)
{
	struct timespec now = { -1, -1 };
	SUCCEEDS(clock_gettime(clock, &now));
	HOLDS("clock_gettime, DESCRIPTION: nanoseconds below a second", now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void reading(void)
{
	static const clockid_t clocks[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
		CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
	};
	for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		struct timespec resolution = { -1, -1 };
		SUCCEEDS(clock_getres(clocks[i], &resolution));
		HOLDS("clock_getres, DESCRIPTION: above zero, at most a jiffy",
		      resolution.tv_sec == 0 && resolution.tv_nsec > 0 && resolution.tv_nsec <= 20000000);
		SUCCEEDS(clock_getres(clocks[i], 0));
		int64_t last = show(clocks[i]);
		HOLDS("clock_gettime, DESCRIPTION: not before its start", last >= 0);
		int backwards = 0;
		for (int n = 0; n < 1000; n++) {
			struct timespec now;
			clock_gettime(clocks[i], &now);
			int64_t value = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
			if (clocks[i] != CLOCK_REALTIME && clocks[i] != CLOCK_REALTIME_COARSE) backwards += value < last;
			last = value;
		}
		IS("clock_gettime, DESCRIPTION: never backwards", backwards, 0);
	}
	HOLDS("clock_gettime, DESCRIPTION: since the Epoch", show(CLOCK_REALTIME) > 1700000000LL * 1000000000);
	struct timespec at;
	FAILS(clock_gettime(99, &at), EINVAL);
	FAILS(clock_getres(99, &at), EINVAL);
	FAILS(clock_gettime(-1, &at), EINVAL);
	/* The resolution that POSIX demands of these: 20 ms. */
	HOLDS("clock_getres, limits_h: _POSIX_CLOCKRES_MIN", _POSIX_CLOCKRES_MIN == 20000000);
	IS("sysconf, DESCRIPTION: _SC_MONOTONIC_CLOCK", sysconf(_SC_MONOTONIC_CLOCK) > 0, 1);
	IS("sysconf, DESCRIPTION: _SC_CPUTIME", sysconf(_SC_CPUTIME) > 0, 1);
	IS("sysconf, DESCRIPTION: _SC_THREAD_CPUTIME", sysconf(_SC_THREAD_CPUTIME) > 0, 1);

	struct timeval day = { -1, -1 };
	int64_t before = show(CLOCK_REALTIME);
	SUCCEEDS(gettimeofday(&day, 0));
	int64_t between_them = (int64_t)day.tv_sec * 1000000000 + (int64_t)day.tv_usec * 1000;
	HOLDS("gettimeofday, DESCRIPTION: CLOCK_REALTIME", between_them >= before - 1000 && between_them <= show(CLOCK_REALTIME));
	HOLDS("gettimeofday, DESCRIPTION", day.tv_usec >= 0 && day.tv_usec < 1000000);
	struct timespec standard = { -1, -1 };
	before = show(CLOCK_REALTIME);
	IS("timespec_get, RETURN VALUE", timespec_get(&standard, TIME_UTC), TIME_UTC);
	between_them = (int64_t)standard.tv_sec * 1000000000 + standard.tv_nsec;
	HOLDS("timespec_get, DESCRIPTION: CLOCK_REALTIME", between_them >= before && between_them <= show(CLOCK_REALTIME));
	IS("timespec_get, RETURN VALUE: no such base", timespec_get(&standard, 99), 0);
	time_t stored = 0, seconds = time(&stored);
	IS("time, DESCRIPTION: stored too", stored, seconds);
	/* It may be read from a clock that is a jiffy behind. */
	HOLDS("time, DESCRIPTION: CLOCK_REALTIME", seconds >= before / 1000000000 - 1 && seconds <= show(CLOCK_REALTIME) / 1000000000);
}

/* ---- CPU-time clocks ---- */

static sem_t gate, started;

static void *burn_and_report(void *unused)
{
	(void)unused;
	int64_t before = show(CLOCK_THREAD_CPUTIME_ID);
	burn((struct timespec) { 0, 20000000 }, CLOCK_THREAD_CPUTIME_ID);
	return (void *)(long)(show(CLOCK_THREAD_CPUTIME_ID) - before);
}

static void *wait_there(void *unused)
{
	burn((struct timespec) { 0, 5000000 }, CLOCK_THREAD_CPUTIME_ID);
	sem_post(&started);
	take(&gate);
	return unused;
}

/* What another thread uses counts for that thread alone, and while it sleeps it uses none. */
static void of_another(void)
{
	pthread_t thread;
	clockid_t its;
	struct timespec resolution;
	sem_init(&gate, 0, 0);
	sem_init(&started, 0, 0);
	SUCCEEDS(pthread_create(&thread, 0, wait_there, 0));
	take(&started);
	SUCCEEDS(pthread_getcpuclockid(thread, &its));
	HOLDS("pthread_getcpuclockid, DESCRIPTION: that thread's", show(its) >= 5000000);
	SUCCEEDS(clock_getres(its, &resolution));
	/* It may have some way to go yet to where it sleeps. */
	int64_t before, after = show(its);
	int tries = 0;
	do {
		before = after;
		usleep(10000);
		after = show(its);
	} while (after != before && ++tries < 500);
	IS("clock_gettime, DESCRIPTION: no CPU time is used asleep", after - before, 0);
	burn((struct timespec) { 0, 20000000 }, CLOCK_THREAD_CPUTIME_ID);
	IS("clock_gettime, DESCRIPTION: each thread its own", show(its) - before, 0);
	sem_post(&gate);
	SUCCEEDS(pthread_join(thread, 0));
	/* It is there while its thread is, whose last steps may come after the join. */
	int status = 0;
	errno = 0;
	for (int i = 0; i < 5000 && !status; i++) {
		usleep(1000);
		status = clock_gettime(its, &resolution);
	}
	IS("clock_gettime, ERRORS [EINVAL]: the clock of a thread that was", errno, EINVAL);
}

static void cpu_time(void)
{
	/* At work it is used, and never more than passes. */
	int64_t wall_before = show(CLOCK_MONOTONIC), process_before = show(CLOCK_PROCESS_CPUTIME_ID);
	int64_t thread_before = show(CLOCK_THREAD_CPUTIME_ID);
	burn((struct timespec) { 0, 20000000 }, CLOCK_THREAD_CPUTIME_ID);
	int64_t used = show(CLOCK_THREAD_CPUTIME_ID) - thread_before, passed = show(CLOCK_MONOTONIC) - wall_before;
	HOLDS("clock_gettime, DESCRIPTION: CPU time is used at work", used >= 20000000);
	HOLDS("clock_gettime, DESCRIPTION: CPU time of one thread", used <= passed + 1000000);
	/* What a thread uses counts for the process. */
	HOLDS("clock_gettime, DESCRIPTION: a thread's CPU time", (long)in_thread(burn_and_report, 0) >= 20000000);
	HOLDS("clock_gettime, DESCRIPTION: the process's CPU time", show(CLOCK_PROCESS_CPUTIME_ID) - process_before >= 40000000);

	clockid_t of_thread, of_process;
	SUCCEEDS(pthread_getcpuclockid(pthread_self(), &of_thread));
	int64_t own = show(CLOCK_THREAD_CPUTIME_ID), here = show(of_thread);
	HOLDS("pthread_getcpuclockid, DESCRIPTION: the thread's own", here >= own && here <= show(CLOCK_THREAD_CPUTIME_ID));
	SUCCEEDS(clock_getcpuclockid(0, &of_process));
	own = show(CLOCK_PROCESS_CPUTIME_ID);
	here = show(of_process);
	HOLDS("clock_getcpuclockid, DESCRIPTION: the process's", here >= own && here <= show(CLOCK_PROCESS_CPUTIME_ID));
	SUCCEEDS(clock_getcpuclockid(getpid(), &of_process));
	HOLDS("clock_getcpuclockid, DESCRIPTION: the process's", show(of_process) >= here);
	ERROR(clock_getcpuclockid(999999, &of_process), ESRCH);
	of_another();

	clock_t before = clock();
	burn((struct timespec) { 0, 20000000 }, CLOCK_PROCESS_CPUTIME_ID);
	HOLDS("clock, DESCRIPTION: processor time", clock() - before >= 19999 * (CLOCKS_PER_SEC / 1000000));
	IS("clock, DESCRIPTION: CLOCKS_PER_SEC", CLOCKS_PER_SEC, 1000000);
}

/* ---- setting ---- */

static void *sleep_until(void *at)
{
	sem_post(&started);
	SUCCEEDS(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, at, 0));
	return 0;
}

static void *wait_until(void *at)
{
	sem_post(&started);
	FAILS(sem_timedwait(&gate, at), ETIMEDOUT);
	return 0;
}

/* Where the clock is ours: it steps, waits until a time of day follow it, spans and the other clocks do not. */
static void steps(void)
{
	struct timespec before = in(CLOCK_REALTIME, 0), at = in(CLOCK_REALTIME, 3600000), monotonic = in(CLOCK_MONOTONIC, 0);
	pthread_t threads[2];
	sem_init(&gate, 0, 0);
	SUCCEEDS(pthread_create(&threads[0], 0, sleep_until, &at));
	SUCCEEDS(pthread_create(&threads[1], 0, wait_until, &at));
	take(&started);
	take(&started);
	usleep(20000);
	SUCCEEDS(clock_settime(CLOCK_REALTIME, &at));
	struct timespec now = in(CLOCK_REALTIME, 0);
	HOLDS("clock_settime, DESCRIPTION", between(at, now) >= 0 && between(at, now) < 60000000000);
	/* Both end because of it: an hour would be too long for this test. */
	SUCCEEDS(pthread_join(threads[0], 0));
	SUCCEEDS(pthread_join(threads[1], 0));
	HOLDS("clock_settime, DESCRIPTION: CLOCK_MONOTONIC is not set", elapsed(monotonic) < 600000);

	/* Back again: a wait for a span is as long as it was. */
	now = in(CLOCK_MONOTONIC, 0);
	struct timespec span = { 0, 20000000 }, rounded = { before.tv_sec, 0 };
	SUCCEEDS(clock_settime(CLOCK_REALTIME, &rounded));
	HOLDS("clock_settime, DESCRIPTION: backwards", between(rounded, in(CLOCK_REALTIME, 0)) < 60000000000);
	SUCCEEDS(nanosleep(&span, 0));
	HOLDS("clock_settime, DESCRIPTION: relative sleeps do not follow", elapsed(now) >= 20);
	/* As it would be now, had nobody set it. */
	long milliseconds = elapsed(monotonic) + before.tv_nsec / 1000000;
	before.tv_sec += milliseconds / 1000;
	before.tv_nsec = milliseconds % 1000 * 1000000;
	SUCCEEDS(clock_settime(CLOCK_REALTIME, &before));
}

void check_clock(void)
{
	struct timespec now = { 1, 0 };
	reading();
	cpu_time();
	FAILS(clock_settime(CLOCK_MONOTONIC, &now), EINVAL);
	FAILS(clock_settime(99, &now), EINVAL);
	FAILS(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &now), EINVAL);
	/* Wrong times, which change nothing. */
	FAILS(clock_settime(CLOCK_REALTIME, &no_time), EINVAL);
	FAILS(clock_settime(CLOCK_REALTIME, &negative_time), EINVAL);
	if (MACHINE) steps();
}
