/* pthread_create, pthread_join, pthread_detach, pthread_exit, pthread_self, pthread_equal, and GNU's timed joins. */
#include "conformance.h"

static void *give_back(void *argument)
{
	return argument;
}

static void *exit_early(void *argument)
{
	pthread_exit(argument);
	return 0;
}

static atomic_int ran, cleaned, destroyed;

static void *count(void *gate)
{
	if (gate) take(gate);
	ran++;
	return 0;
}

static void *sleep_long(void *unused)
{
	struct timespec at = in(CLOCK_REALTIME, 200);
	(void)unused;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, 0)) {}
	return (void *)5;
}

static void *check_identity(void *gate)
{
	take(gate);
	HOLDS("pthread_equal, RETURN VALUE", pthread_equal(pthread_self(), pthread_self()));
	IS("gettid, Linux", gettid(), syscall(SYS_gettid));
	HOLDS("gettid, Linux: unique", gettid() != getpid());
	return pthread_self();
}

struct inherited { sigset_t mask, pending; int error; };

static void *report_inherited(void *to)
{
	struct inherited *found = to;
	found->error = errno;
	pthread_sigmask(SIG_BLOCK, 0, &found->mask);
	sigpending(&found->pending);
	return 0;
}

/* The new thread has its creator's mask, no signal pending of its own, and an errno of its own. */
static void inheritance(void)
{
	struct inherited found;
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	handle(SIGUSR1, SIG_DFL);
	SUCCEEDS(pthread_kill(pthread_self(), SIGUSR1));
	errno = 99;
	in_thread(report_inherited, &found);
	HOLDS("pthread_create, DESCRIPTION: mask inherited",
	      sigismember(&found.mask, SIGUSR1) && sigismember(&found.mask, SIGUSR2) && !sigismember(&found.mask, SIGTERM));
	HOLDS("pthread_create, DESCRIPTION: nothing pending", !sigismember(&found.pending, SIGUSR1));
	IS("errno, DESCRIPTION: each thread's own", found.error, 0);
	struct timespec none = { 0, 0 };
	IS("sigtimedwait, RETURN VALUE", sigtimedwait(&set, 0, &none), SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &old, 0);
}

static pthread_key_t key;

static void clean(void *order)
{
	cleaned = cleaned * 10 + (int)(long)order;
}

/* Runs after all cleanup handlers. */
static void destroy(void *value)
{
	destroyed = cleaned + (int)(long)value;
}

static void *exit_with_handlers(void *by_return)
{
	pthread_setspecific(key, (void *)1000);
	pthread_cleanup_push(clean, (void *)1);
	pthread_cleanup_push(clean, (void *)2);
	pthread_exit((void *)by_return);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return 0;
}

static void exits(void)
{
	IS("pthread_exit, DESCRIPTION: value", in_thread(exit_early, (void *)18), 18);
	SUCCEEDS(pthread_key_create(&key, destroy));
	cleaned = destroyed = 0;
	IS("pthread_exit, DESCRIPTION: value", in_thread(exit_with_handlers, (void *)7), 7);
	IS("pthread_exit, DESCRIPTION: cleanup handlers in reverse order", cleaned, 21);
	IS("pthread_exit, DESCRIPTION: destructors after cleanup handlers", destroyed, 1021);
	SUCCEEDS(pthread_key_delete(key));
}

static void joins(sem_t *gate)
{
	pthread_t thread;
	void *result = 0;
	SUCCEEDS(pthread_create(&thread, 0, check_identity, gate));
	HOLDS("pthread_equal, RETURN VALUE", !pthread_equal(thread, pthread_self()));
	ERROR(pthread_tryjoin_np(thread, &result), EBUSY);
	struct timespec at = in(CLOCK_REALTIME, 30);
	ERROR(pthread_timedjoin_np(thread, &result, &at), ETIMEDOUT);
	ERROR(pthread_timedjoin_np(thread, &result, &no_time), EINVAL);
	sem_post(gate);
	SUCCEEDS(pthread_join(thread, &result));
	HOLDS("pthread_self, RETURN VALUE: the id pthread_create stored", result == thread);

	SUCCEEDS(pthread_create(&thread, 0, sleep_long, 0));
	at = in(CLOCK_REALTIME, 60000);
	SUCCEEDS(pthread_timedjoin_np(thread, &result, &at));
	IS("pthread_timedjoin_np, GNU: value", result, 5);
	SUCCEEDS(pthread_create(&thread, 0, give_back, (void *)6));
	int status;
	while ((status = pthread_tryjoin_np(thread, &result)) == EBUSY) sched_yield();
	IS("pthread_tryjoin_np, GNU", status, 0);
	IS("pthread_tryjoin_np, GNU: value", result, 6);
	SUCCEEDS(pthread_create(&thread, 0, give_back, 0));
	IS("pthread_join, DESCRIPTION: a null value_ptr", pthread_join(thread, 0), 0);
	/* A thread that has ended before it is joined. */
	SUCCEEDS(pthread_create(&thread, 0, give_back, (void *)9));
	usleep(20000);
	SUCCEEDS(pthread_join(thread, &result));
	IS("pthread_join, DESCRIPTION: value", result, 9);
	MAY_ERROR(pthread_join(pthread_self(), 0), EDEADLK);
}

static void detached(sem_t *gate)
{
	pthread_t thread;
	ran = 0;
	SUCCEEDS(pthread_create(&thread, 0, count, gate));
	SUCCEEDS(pthread_detach(thread));
	MAY_ERROR(pthread_detach(thread), EINVAL);
	MAY_ERROR(pthread_join(thread, 0), EINVAL);
	sem_post(gate);
	while (!ran) sched_yield();

	/* One that has ended already. */
	SUCCEEDS(pthread_create(&thread, 0, give_back, 0));
	usleep(50000);
	SUCCEEDS(pthread_detach(thread));

	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	SUCCEEDS(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
	ran = 0;
	for (int i = 0; i < 100; i++) SUCCEEDS(pthread_create(&thread, &attributes, count, 0));
	while (ran < 100) sched_yield();
	IS("pthread_create, DESCRIPTION: every detached thread runs", ran, 100);
	pthread_attr_destroy(&attributes);
}

void check_pthread_create(void)
{
	sem_t gate;
	IS("pthread_create, DESCRIPTION: start_routine's value", in_thread(give_back, (void *)17), 17);
	inheritance();
	exits();
	SUCCEEDS(sem_init(&gate, 0, 0));
	joins(&gate);
	detached(&gate);

	/* Many at once, then one after the other: stacks come and go. */
	pthread_t many[64];
	ran = 0;
	for (int i = 0; i < 64; i++) SUCCEEDS(pthread_create(&many[i], 0, count, &gate));
	for (int i = 0; i < 64; i++) sem_post(&gate);
	for (int i = 0; i < 64; i++) SUCCEEDS(pthread_join(many[i], 0));
	IS("pthread_create, DESCRIPTION: every thread runs", ran, 64);
	for (int i = 0; i < 300; i++) in_thread(give_back, 0);
	sem_destroy(&gate);
}
