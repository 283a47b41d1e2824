/* timer_create, timer_settime, timer_gettime, timer_getoverrun, timer_delete. */
#include "conformance.h"

static atomic_int handled, code, value, by_thread, most_overruns;
static timer_t *watched;
static sem_t expired;

static void on_timer(int signal, siginfo_t *info, void *unused)
{
	(void)signal;
	(void)unused;
	code = info->si_code;
	value = info->si_value.sival_int;
	by_thread = gettid();
	int overruns = watched ? timer_getoverrun(*watched) : 0;
	if (overruns > most_overruns) most_overruns = overruns;
	handled++;
	sem_post(&expired);
}

static void on_expiration(union sigval argument)
{
	value = argument.sival_int;
	by_thread = gettid();
	sem_post(&expired);
}

static struct itimerspec setting(long first_ms, long interval_ms)
{
	return (struct itimerspec) {
		.it_value = { first_ms / 1000, first_ms % 1000 * 1000000 },
		.it_interval = { interval_ms / 1000, interval_ms % 1000 * 1000000 },
	};
}

static void by_signal(clockid_t clock)
{
	timer_t timer;
	struct itimerspec found = setting(7, 7), once = setting(20, 0), stopped = setting(0, 0), periodic = setting(10, 10);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4711 };
	handled = 0;
	SUCCEEDS(timer_create(clock, &event, &timer));
	SUCCEEDS(timer_gettime(timer, &found));
	HOLDS("timer_create, DESCRIPTION: disarmed", !found.it_value.tv_sec && !found.it_value.tv_nsec);

	struct timespec start = in(CLOCK_MONOTONIC, 0);
	SUCCEEDS(timer_settime(timer, 0, &once, 0));
	take(&expired);
	HOLDS("timer_settime, DESCRIPTION: not before its time", elapsed(start) >= 20);
	IS("timer_create, DESCRIPTION: SI_TIMER", code, SI_TIMER);
	IS("timer_create, DESCRIPTION: sigev_value", value, 4711);
	SUCCEEDS(timer_gettime(timer, &found));
	HOLDS("timer_settime, DESCRIPTION: disarmed after it", !found.it_value.tv_sec && !found.it_value.tv_nsec);
	IS("timer_settime, DESCRIPTION: once", handled, 1);

	/* Every so often, until it is disarmed. */
	SUCCEEDS(timer_settime(timer, 0, &periodic, &found));
	HOLDS("timer_settime, DESCRIPTION: ovalue of what was disarmed", !found.it_value.tv_sec && !found.it_value.tv_nsec);
	for (int i = 0; i < 3; i++) take(&expired);
	HOLDS("timer_settime, DESCRIPTION: not before its time", elapsed(start) >= 50);
	HOLDS("timer_getoverrun, RETURN VALUE", timer_getoverrun(timer) >= 0);
	SUCCEEDS(timer_gettime(timer, &found));
	IS("timer_gettime, DESCRIPTION: it_interval", found.it_interval.tv_nsec, 10000000);
	SUCCEEDS(timer_settime(timer, 0, &stopped, &found));
	HOLDS("timer_settime, DESCRIPTION: ovalue", found.it_interval.tv_nsec == 10000000);
	SUCCEEDS(timer_gettime(timer, &found));
	HOLDS("timer_settime, DESCRIPTION: disarmed by zero", !found.it_value.tv_sec && !found.it_value.tv_nsec);
	/* A signal that was on its way may still come. */
	usleep(20000);
	while (!sem_trywait(&expired)) {}

	/* An absolute time; one that is past counts at once. */
	once.it_value = in(clock, 20);
	SUCCEEDS(timer_settime(timer, TIMER_ABSTIME, &once, 0));
	take(&expired);
	HOLDS("timer_settime, DESCRIPTION: TIMER_ABSTIME", between(once.it_value, in(clock, 0)) >= 0);
	once.it_value = (struct timespec) { 1, 0 };
	if (clock == CLOCK_REALTIME) {
		SUCCEEDS(timer_settime(timer, TIMER_ABSTIME, &once, 0));
		take(&expired);
		IS("timer_settime, DESCRIPTION: a time that has passed", value, 4711);
	}
	/* Far ahead, it tells what is left. */
	once = setting(60000, 0);
	SUCCEEDS(timer_settime(timer, 0, &once, 0));
	SUCCEEDS(timer_gettime(timer, &found));
	HOLDS("timer_gettime, DESCRIPTION: until the next expiration", found.it_value.tv_sec >= 1 && found.it_value.tv_sec <= 60);

	once.it_value.tv_nsec = 1000000000;
	FAILS(timer_settime(timer, 0, &once, 0), EINVAL);
	once.it_value.tv_nsec = -1;
	FAILS(timer_settime(timer, 0, &once, 0), EINVAL);
	SUCCEEDS(timer_gettime(timer, &found));
	HOLDS("timer_settime, ERRORS: nothing changed", found.it_value.tv_sec >= 1);
	SUCCEEDS(timer_delete(timer));
	/* musl gives the number negated, where POSIX wants -1 if it wants anything ("may fail"). */
	HOLDS("timer_delete, ERRORS may [EINVAL]", timer_delete(timer) != 0);
	FAILS(timer_gettime(timer, &found), EINVAL);
	FAILS(timer_settime(timer, 0, &stopped, 0), EINVAL);
	FAILS(timer_getoverrun(timer), EINVAL);
}

/* Blocked, a signal waits once; the expirations that it stands for besides are counted. */
static void overruns(void)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec fast = setting(1, 1), stopped = setting(0, 0);
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SUCCEEDS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	pthread_sigmask(SIG_BLOCK, &set, &old);
	handled = most_overruns = 0;
	watched = &timer;
	SUCCEEDS(timer_settime(timer, 0, &fast, 0));
	do {
		usleep(1000);
		sigpending(&set);
	} while (!sigismember(&set, SIGUSR1));
	usleep(50000);
	IS("timer_getoverrun, DESCRIPTION: not handled while blocked", handled, 0);
	/* Delivered before it returns, once; it stands for what the clock says, whenever the kernel came to notice. */
	pthread_sigmask(SIG_SETMASK, &old, 0);
	HOLDS("timer_getoverrun, DESCRIPTION: one signal at a time", handled >= 1 && most_overruns >= 49);
	SUCCEEDS(timer_settime(timer, 0, &stopped, 0));
	watched = 0;
	SUCCEEDS(timer_delete(timer));
	usleep(20000);
	while (!sem_trywait(&expired)) {}
}

static void others(void)
{
	timer_t timer;
	struct itimerspec found, once = setting(20, 0);
	/* No notification at all: it is there to be read. */
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	SUCCEEDS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	handled = 0;
	SUCCEEDS(timer_settime(timer, 0, &once, 0));
	do {
		usleep(5000);
		SUCCEEDS(timer_gettime(timer, &found));
	} while (found.it_value.tv_nsec);
	IS("timer_create, DESCRIPTION: SIGEV_NONE", handled, 0);
	SUCCEEDS(timer_delete(timer));

	/* A thread for each expiration. */
	event = (struct sigevent) {
		.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_expiration, .sigev_value.sival_int = 12,
	};
	value = by_thread = 0;
	SUCCEEDS(timer_create(CLOCK_REALTIME, &event, &timer));
	SUCCEEDS(timer_settime(timer, 0, &once, 0));
	take(&expired);
	IS("timer_create, DESCRIPTION: SIGEV_THREAD's value", value, 12);
	HOLDS("timer_create, DESCRIPTION: SIGEV_THREAD's thread", by_thread != gettid());
	SUCCEEDS(timer_delete(timer));

	/* Without an event: SIGALRM. */
	struct sigaction old, action = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
	sigaction(SIGALRM, &action, &old);
	SUCCEEDS(timer_create(CLOCK_MONOTONIC, 0, &timer));
	SUCCEEDS(timer_settime(timer, 0, &once, 0));
	take(&expired);
	IS("timer_create, DESCRIPTION: no evp, SI_TIMER", code, SI_TIMER);
	SUCCEEDS(timer_delete(timer));
	sigaction(SIGALRM, &old, 0);

	event = (struct sigevent) { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 1000 };
	FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event = (struct sigevent) { .sigev_notify = 77 };
	FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	FAILS(timer_create(99, 0, &timer), EINVAL);
}

void check_timer(void)
{
	struct sigaction old, action = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &action, &old);
	sem_init(&expired, 0, 0);
	by_signal(CLOCK_REALTIME);
	by_signal(CLOCK_MONOTONIC);
	overruns();
	others();
	sigaction(SIGUSR1, &old, 0);
}
