/* Threads, their attributes, names, scheduling, keys, and what happens once. */
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

static atomic_int ran;

static void *count(void *gate)
{
	if (gate) sem_wait(gate);
	ran++;
	return 0;
}

static void *sleep_long(void *unused)
{
	(void)unused;
	struct timespec at = in(CLOCK_REALTIME, 200);
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, 0)) {}
	return (void *)5;
}

static void *check_identity(void *gate)
{
	sem_wait(gate);
	CHECK(pthread_equal(pthread_self(), pthread_self()));
	EQUAL(gettid(), syscall(SYS_gettid));
	CHECK(gettid() != getpid());
	EQUAL(errno, 0);
	return pthread_self();
}

void threads(void)
{
	pthread_t thread;
	void *result = 0;
	CHECK(in_thread(give_back, (void *)17) == (void *)17);
	CHECK(in_thread(exit_early, (void *)18) == (void *)18);

	sem_t gate;
	EQUAL(sem_init(&gate, 0, 0), 0);
	EQUAL(pthread_create(&thread, 0, check_identity, &gate), 0);
	CHECK(!pthread_equal(thread, pthread_self()));
	EQUAL(pthread_tryjoin_np(thread, &result), EBUSY);
	struct timespec at = in(CLOCK_REALTIME, 30);
	EQUAL(pthread_timedjoin_np(thread, &result, &at), ETIMEDOUT);
	EQUAL(pthread_timedjoin_np(thread, &result, &no_time), EINVAL);
	EQUAL(pthread_kill(thread, 0), 0);
	EQUAL(pthread_kill(thread, 1000), EINVAL);
	sem_post(&gate);
	EQUAL(pthread_join(thread, &result), 0);
	CHECK(result == thread);

	EQUAL(pthread_create(&thread, 0, sleep_long, 0), 0);
	at = in(CLOCK_REALTIME, 5000);
	EQUAL(pthread_timedjoin_np(thread, &result, &at), 0);
	CHECK(result == (void *)5);
	EQUAL(pthread_create(&thread, 0, give_back, 0), 0);
	while (pthread_tryjoin_np(thread, 0) == EBUSY) sched_yield();

	EQUAL(pthread_join(pthread_self(), 0), EDEADLK);
	EQUAL(pthread_create(&thread, 0, count, &gate), 0);
	EQUAL(pthread_detach(thread), 0);
	EQUAL(pthread_detach(thread), EINVAL);
	EQUAL(pthread_join(thread, 0), EINVAL);
	sem_post(&gate);
	while (!ran) sched_yield();

	/* A joinable thread that has ended is still a thread. */
	EQUAL(pthread_create(&thread, 0, give_back, 0), 0);
	usleep(50000);
	EQUAL(pthread_kill(thread, SIGUSR1), 0);
	EQUAL(pthread_detach(thread), 0);

	/* Many at once, then one after the other: stacks come and go. */
	pthread_t many[64];
	ran = 0;
	for (int i = 0; i < 64; i++) EQUAL(pthread_create(&many[i], 0, count, &gate), 0);
	for (int i = 0; i < 64; i++) sem_post(&gate);
	for (int i = 0; i < 64; i++) EQUAL(pthread_join(many[i], 0), 0);
	EQUAL(ran, 64);
	for (int i = 0; i < 300; i++) in_thread(give_back, 0);
	sem_destroy(&gate);

	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	EQUAL(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
	ran = 0;
	for (int i = 0; i < 100; i++) EQUAL(pthread_create(&thread, &attributes, count, 0), 0);
	while (ran < 100) sched_yield();
	pthread_attr_destroy(&attributes);
}

void attributes(void)
{
	pthread_attr_t a;
	int number = -1;
	size_t size = 0;
	void *low;
	struct sched_param parameters = { .sched_priority = 3 };
	EQUAL(pthread_attr_init(&a), 0);
	EQUAL(pthread_attr_getdetachstate(&a, &number), 0);
	EQUAL(number, PTHREAD_CREATE_JOINABLE);
	EQUAL(pthread_attr_setdetachstate(&a, 2), EINVAL);
	EQUAL(pthread_attr_getstacksize(&a, &size), 0);
	CHECK(size >= 8 << 20);
	EQUAL(pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN - 1), EINVAL);
	EQUAL(pthread_attr_setstacksize(&a, SIZE_MAX), EINVAL);
	EQUAL(pthread_attr_setstacksize(&a, 1 << 20), 0);
	pthread_attr_getstacksize(&a, &size);
	EQUAL(size, 1 << 20);
	EQUAL(pthread_attr_getguardsize(&a, &size), 0);
	CHECK(size >= 4096);
	EQUAL(pthread_attr_setguardsize(&a, SIZE_MAX), EINVAL);
	EQUAL(pthread_attr_setguardsize(&a, 65536), 0);
	pthread_attr_getguardsize(&a, &size);
	EQUAL(size, 65536);
	EQUAL(pthread_attr_getstack(&a, &low, &size), EINVAL);
	EQUAL(pthread_attr_setstack(&a, 0, 1 << 20), EINVAL);
	EQUAL(pthread_attr_setstack(&a, (void *)0x10000, 100), EINVAL);
	EQUAL(pthread_attr_setstack(&a, (void *)0x10000, 1 << 20), 0);
	EQUAL(pthread_attr_getstack(&a, &low, &size), 0);
	CHECK(low == (void *)0x10000 && size == 1 << 20);
	EQUAL(pthread_attr_getscope(&a, &number), 0);
	EQUAL(number, PTHREAD_SCOPE_SYSTEM);
	EQUAL(pthread_attr_setscope(&a, PTHREAD_SCOPE_SYSTEM), 0);
	EQUAL(pthread_attr_setscope(&a, PTHREAD_SCOPE_PROCESS), ENOTSUP);
	EQUAL(pthread_attr_setscope(&a, 7), EINVAL);
	EQUAL(pthread_attr_setinheritsched(&a, 2), EINVAL);
	EQUAL(pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED), 0);
	EQUAL(pthread_attr_getinheritsched(&a, &number), 0);
	EQUAL(number, PTHREAD_EXPLICIT_SCHED);
	EQUAL(pthread_attr_setschedpolicy(&a, 77), EINVAL);
	EQUAL(pthread_attr_setschedpolicy(&a, SCHED_RR), 0);
	EQUAL(pthread_attr_getschedpolicy(&a, &number), 0);
	EQUAL(number, SCHED_RR);
	EQUAL(pthread_attr_setschedparam(&a, &parameters), 0);
	parameters.sched_priority = 0;
	EQUAL(pthread_attr_getschedparam(&a, &parameters), 0);
	EQUAL(parameters.sched_priority, 3);
	EQUAL(pthread_setattr_default_np(&a), EINVAL);
	EQUAL(pthread_attr_destroy(&a), 0);
	EQUAL(pthread_getattr_default_np(&a), 0);
	EQUAL(pthread_setattr_default_np(&a), 0);
}

/* Checks that the caller runs on the stack that its attributes name. */
static void *check_stack(void *minimum)
{
	pthread_attr_t a;
	void *low = 0;
	size_t size = 0, guard = 0;
	char here;
	EQUAL(pthread_getattr_np(pthread_self(), &a), 0);
	EQUAL(pthread_attr_getstack(&a, &low, &size), 0);
	CHECK(&here > (char *)low && &here < (char *)low + size);
	CHECK(size >= (size_t)minimum);
	EQUAL(pthread_attr_getguardsize(&a, &guard), 0);
	/* All of it is there: the lowest byte too. */
	if (minimum) *(volatile char *)low = 1;
	pthread_attr_destroy(&a);
	return 0;
}

void stacks(void)
{
	pthread_attr_t a;
	pthread_t thread;
	/* The first thread's stack. */
	check_stack((void *)0);
	/* A smaller one than CPython counts on becomes a large one. */
	EQUAL(pthread_attr_init(&a), 0);
	EQUAL(pthread_attr_setstacksize(&a, 32768), 0);
	EQUAL(pthread_create(&thread, &a, check_stack, (void *)(4000000 + 65536)), 0);
	EQUAL(pthread_join(thread, 0), 0);
	EQUAL(pthread_attr_setstacksize(&a, 32 << 20), 0);
	EQUAL(pthread_create(&thread, &a, check_stack, (void *)(32 << 20)), 0);
	EQUAL(pthread_join(thread, 0), 0);
	EQUAL(pthread_attr_setstacksize(&a, (size_t)1 << 60), 0);
	EQUAL(pthread_create(&thread, &a, give_back, 0), EAGAIN);
	char *own = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(own, 'x', 4096);
	EQUAL(pthread_attr_setstack(&a, own, 1 << 20), 0);
	for (int i = 0; i < 3; i++) {
		EQUAL(pthread_create(&thread, &a, check_stack, (void *)((1 << 20) - 16)), 0);
		EQUAL(pthread_join(thread, 0), 0);
	}
	/* The creator's stack outlives the thread, its contents too. */
	EQUAL(own[4095], 'x');
	munmap(own, 1 << 20);
	pthread_attr_destroy(&a);
}

static void *check_fresh_tls(void *unused)
{
	static _Thread_local int zero, seven = 7;
	(void)unused;
	EQUAL(zero, 0);
	EQUAL(seven, 7);
	zero = seven = 99;
	errno = 99;
	return 0;
}

void thread_local_data(void)
{
	for (int i = 0; i < 40; i++) in_thread(check_fresh_tls, 0);
}

static void *check_name(void *unused)
{
	char name[16];
	(void)unused;
	EQUAL(pthread_setname_np(pthread_self(), "worker"), 0);
	EQUAL(pthread_getname_np(pthread_self(), name, sizeof name), 0);
	CHECK(!strcmp(name, "worker"));
	return 0;
}

static void *wait_at(void *gate)
{
	while (sem_wait(gate)) {}
	return 0;
}

void names_and_scheduling(void)
{
	char name[32];
	pthread_t thread;
	sem_t gate;
	sem_init(&gate, 0, 0);
	in_thread(check_name, 0);
	EQUAL(pthread_setname_np(pthread_self(), "sixteen bytes or more"), ERANGE);
	EQUAL(pthread_getname_np(pthread_self(), name, 15), ERANGE);
	EQUAL(pthread_create(&thread, 0, wait_at, &gate), 0);
	EQUAL(pthread_setname_np(thread, "other"), 0);
	EQUAL(pthread_getname_np(thread, name, sizeof name), 0);
	CHECK(!strcmp(name, "other"));

	cpu_set_t cpus, one;
	CPU_ZERO(&one);
	EQUAL(pthread_getaffinity_np(thread, sizeof cpus, &cpus), 0);
	CHECK(CPU_COUNT(&cpus) > 0);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) if (CPU_ISSET(i, &cpus)) CPU_SET(i, &one);
	EQUAL(pthread_setaffinity_np(thread, sizeof one, &one), 0);
	EQUAL(pthread_getaffinity_np(thread, sizeof one, &cpus), 0);
	CHECK(CPU_EQUAL(&one, &cpus));
	CPU_ZERO(&one);
	EQUAL(pthread_setaffinity_np(thread, sizeof one, &one), EINVAL);
	EQUAL(sched_getaffinity(0, sizeof cpus, &cpus), 0);
	EQUAL(sched_setaffinity(0, sizeof cpus, &cpus), 0);
	FAILS(sched_setaffinity(0, sizeof one, &one), EINVAL);

	int policy = -1;
	struct sched_param parameters = { .sched_priority = -1 };
	EQUAL(pthread_getschedparam(thread, &policy, &parameters), 0);
	EQUAL(policy, SCHED_OTHER);
	EQUAL(parameters.sched_priority, 0);
	EQUAL(pthread_setschedparam(thread, SCHED_OTHER, &parameters), 0);
	EQUAL(pthread_setschedprio(thread, 0), 0);
	parameters.sched_priority = 5;
	EQUAL(pthread_setschedparam(thread, SCHED_OTHER, &parameters), EINVAL);
	EQUAL(pthread_setschedparam(thread, 99, &parameters), EINVAL);
	EQUAL(pthread_setschedprio(thread, 1000), EINVAL);
	EQUAL(sched_getscheduler(0), SCHED_OTHER);
	EQUAL(sched_getparam(0, &parameters), 0);
	EQUAL(sched_setparam(0, &parameters), 0);
	EQUAL(sched_setscheduler(0, SCHED_OTHER, &parameters), 0);
	FAILS(sched_setscheduler(0, 99, &parameters), EINVAL);
	EQUAL(sched_yield(), 0);
	EQUAL(pthread_setconcurrency(-1), EINVAL);
	EQUAL(pthread_setconcurrency(3), 0);
	EQUAL(pthread_getconcurrency(), 3);

	clockid_t clock;
	struct timespec used = { -1, -1 };
	EQUAL(pthread_getcpuclockid(thread, &clock), 0);
	EQUAL(clock_gettime(clock, &used), 0);
	CHECK(used.tv_sec == 0 && used.tv_nsec >= 0);
	sem_post(&gate);
	pthread_join(thread, 0);

	/* Scheduling of its own: what the policy refuses, creation refuses. */
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	EQUAL(pthread_create(&thread, &a, give_back, 0), 0);
	EQUAL(pthread_join(thread, 0), 0);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	ran = 0;
	EQUAL(pthread_create(&thread, &a, count, 0), 0);
	while (!ran) sched_yield();
	parameters.sched_priority = 40;
	pthread_attr_setschedparam(&a, &parameters);
	EQUAL(pthread_create(&thread, &a, give_back, 0), EINVAL);
	pthread_attr_destroy(&a);
	sem_destroy(&gate);
}

/* ---- keys and once ---- */

static pthread_key_t first_key, second_key;
static atomic_int destroyed;

static void destroy(void *value)
{
	destroyed++;
	/* Comes back twice: destructors run in rounds. */
	if ((size_t)value > 1) pthread_setspecific(first_key, (char *)value - 1);
}

static void *use_keys(void *unused)
{
	(void)unused;
	CHECK(!pthread_getspecific(first_key) && !pthread_getspecific(second_key));
	EQUAL(pthread_setspecific(first_key, (void *)3), 0);
	EQUAL(pthread_setspecific(second_key, (void *)9), 0);
	return pthread_getspecific(second_key);
}

void keys(void)
{
	EQUAL(pthread_key_create(&first_key, destroy), 0);
	EQUAL(pthread_key_create(&second_key, 0), 0);
	CHECK(first_key != second_key);
	CHECK(!pthread_getspecific(first_key));
	EQUAL(pthread_setspecific(second_key, (void *)5), 0);
	CHECK(in_thread(use_keys, 0) == (void *)9);
	EQUAL(destroyed, 3);
	CHECK(pthread_getspecific(second_key) == (void *)5);
	EQUAL(pthread_key_delete(second_key), 0);
	EQUAL(pthread_key_delete(second_key), EINVAL);
	EQUAL(pthread_setspecific(second_key, (void *)1), EINVAL);
	pthread_key_t again;
	EQUAL(pthread_key_create(&again, 0), 0);
	CHECK(!pthread_getspecific(again));
	EQUAL(pthread_key_delete(again), 0);
	pthread_key_t all[PTHREAD_KEYS_MAX];
	int created = 0;
	while (created < PTHREAD_KEYS_MAX && !pthread_key_create(&all[created], 0)) created++;
	EQUAL(created, PTHREAD_KEYS_MAX - 1);
	EQUAL(pthread_key_create(&again, 0), EAGAIN);
	while (created) EQUAL(pthread_key_delete(all[--created]), 0);
	EQUAL(pthread_key_delete(first_key), 0);
	EQUAL(pthread_key_delete(PTHREAD_KEYS_MAX), EINVAL);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int initialised;

static void initialise(void)
{
	usleep(20000);
	initialised++;
}

static void *do_once(void *unused)
{
	(void)unused;
	EQUAL(pthread_once(&once, initialise), 0);
	EQUAL(initialised, 1);
	return 0;
}

static pthread_once_t broken_once = PTHREAD_ONCE_INIT;

static void break_off(void)
{
	pthread_exit(0);
}

static void *do_broken_once(void *unused)
{
	pthread_once(&broken_once, break_off);
	return unused;
}

void once_only(void)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, do_once, 0);
	for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
	in_thread(do_broken_once, 0);
	initialised = 0;
	EQUAL(pthread_once(&broken_once, initialise), 0);
	EQUAL(initialised, 1);
}
