/* pthread_once. */
#include "conformance.h"

static pthread_once_t once = PTHREAD_ONCE_INIT, broken_once = PTHREAD_ONCE_INIT, cancelled_once = PTHREAD_ONCE_INIT;
static atomic_int initialised;
static sem_t started, never;

static void initialise(void)
{
	usleep(20000);
	initialised++;
}

static void *do_once(void *unused)
{
	(void)unused;
	SUCCEEDS(pthread_once(&once, initialise));
	IS("pthread_once, DESCRIPTION: init_routine has completed", initialised, 1);
	return 0;
}

static void break_off(void)
{
	pthread_exit(0);
}

static void *do_broken_once(void *unused)
{
	pthread_once(&broken_once, break_off);
	return unused;
}

static void wait_for_ever(void)
{
	sem_post(&started);
	take(&never);
}

static void *do_cancelled_once(void *unused)
{
	pthread_once(&cancelled_once, wait_for_ever);
	return unused;
}

/* Waits for the routine that is cancelled, and then runs its own. */
static void *do_after(void *unused)
{
	SUCCEEDS(pthread_once(&cancelled_once, initialise));
	return unused;
}

void check_pthread_once(void)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, do_once, 0));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
	IS("pthread_once, DESCRIPTION: once", initialised, 1);

	/* An end of the thread inside the routine is as if it was never called. */
	in_thread(do_broken_once, 0);
	initialised = 0;
	SUCCEEDS(pthread_once(&broken_once, initialise));
	IS("pthread_once, DESCRIPTION: as if never called", initialised, 1);

	void *result;
	initialised = 0;
	sem_init(&started, 0, 0);
	sem_init(&never, 0, 0);
	SUCCEEDS(pthread_create(&threads[0], 0, do_cancelled_once, 0));
	take(&started);
	SUCCEEDS(pthread_create(&threads[1], 0, do_after, 0));
	SUCCEEDS(pthread_cancel(threads[0]));
	SUCCEEDS(pthread_join(threads[0], &result));
	HOLDS("pthread_once, DESCRIPTION: init_routine may be cancelled", result == PTHREAD_CANCELED);
	SUCCEEDS(pthread_join(threads[1], 0));
	IS("pthread_once, DESCRIPTION: as if never called", initialised, 1);
}
