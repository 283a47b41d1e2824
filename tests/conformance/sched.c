/* Scheduling: pthread_*sched*, pthread_*concurrency, sched_*, and GNU's affinity. */
#include "conformance.h"

static void *wait_at(void *gate)
{
	take(gate);
	return 0;
}

static void *give_back(void *argument)
{
	return argument;
}

static atomic_int ran;

static void *count(void *unused)
{
	ran++;
	return unused;
}

static void affinity(pthread_t thread)
{
	cpu_set_t cpus, one;
	CPU_ZERO(&one);
	SUCCEEDS(pthread_getaffinity_np(thread, sizeof cpus, &cpus));
	HOLDS("pthread_getaffinity_np, GNU", CPU_COUNT(&cpus) > 0);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) if (CPU_ISSET(i, &cpus)) CPU_SET(i, &one);
	SUCCEEDS(pthread_setaffinity_np(thread, sizeof one, &one));
	SUCCEEDS(pthread_getaffinity_np(thread, sizeof one, &cpus));
	HOLDS("pthread_setaffinity_np, GNU", CPU_EQUAL(&one, &cpus));
	CPU_ZERO(&one);
	ERROR(pthread_setaffinity_np(thread, sizeof one, &one), EINVAL);
	SUCCEEDS(sched_getaffinity(0, sizeof cpus, &cpus));
	SUCCEEDS(sched_setaffinity(0, sizeof cpus, &cpus));
	FAILS(sched_setaffinity(0, sizeof one, &one), EINVAL);
	FAILS(sched_getaffinity(999999, sizeof cpus, &cpus), ESRCH);
}

static void of_thread(pthread_t thread)
{
	int policy = -1;
	struct sched_param parameters = { .sched_priority = -1 };
	SUCCEEDS(pthread_getschedparam(thread, &policy, &parameters));
	IS("pthread_getschedparam, DESCRIPTION: policy", policy, SCHED_OTHER);
	IS("pthread_getschedparam, DESCRIPTION: priority", parameters.sched_priority, 0);
	SUCCEEDS(pthread_setschedparam(thread, SCHED_OTHER, &parameters));
	SUCCEEDS(pthread_setschedprio(thread, 0));
	parameters.sched_priority = 5;
	ERROR(pthread_setschedparam(thread, SCHED_OTHER, &parameters), EINVAL);
	ERROR(pthread_setschedparam(thread, 99, &parameters), EINVAL);
	ERROR(pthread_setschedprio(thread, 1000), EINVAL);
	SUCCEEDS(pthread_getschedparam(thread, &policy, &parameters));
	IS("pthread_setschedparam, RETURN VALUE: nothing changed", policy, SCHED_OTHER);
	IS("pthread_setschedparam, RETURN VALUE: nothing changed", parameters.sched_priority, 0);
	SUCCEEDS(pthread_setconcurrency(0));
	ERROR(pthread_setconcurrency(-1), EINVAL);
	/* A level that an implementation cannot give may be EAGAIN: musl says so of every one. */
	CHOICE SUCCEEDS(pthread_setconcurrency(3));
	IS("pthread_getconcurrency, RETURN VALUE", pthread_getconcurrency(), REFERENCE ? 0 : 3);
	SUCCEEDS(pthread_setconcurrency(0));
	IS("pthread_getconcurrency, RETURN VALUE", pthread_getconcurrency(), 0);
}

static void of_process(void)
{
	struct sched_param parameters = { .sched_priority = -1 };
	struct timespec interval = { -1, -1 };
	SUCCEEDS(sched_yield());
	HOLDS("sched_getcpu, GNU", sched_getcpu() >= 0 && sched_getcpu() < sysconf(_SC_NPROCESSORS_CONF));
	for (int policy = 0; policy < 3; policy++) {
		int low = sched_get_priority_min(policy), high = sched_get_priority_max(policy);
		HOLDS("sched_get_priority_min, RETURN VALUE", low >= 0);
		HOLDS("sched_get_priority_max, RETURN VALUE", high >= low);
		if (policy) HOLDS("sched_get_priority_max, Scheduling Policies: 32 priorities", high - low >= 31);
	}
	FAILS(sched_get_priority_min(99), EINVAL);
	FAILS(sched_get_priority_max(99), EINVAL);
	SUCCEEDS(sched_rr_get_interval(0, &interval));
	HOLDS("sched_rr_get_interval, DESCRIPTION", interval.tv_sec >= 0 && interval.tv_nsec >= 0);
	FAILS(sched_rr_get_interval(999999, &interval), ESRCH);

	IS("sched_getscheduler, RETURN VALUE", sched_getscheduler(0), SCHED_OTHER);
	SUCCEEDS(sched_getparam(0, &parameters));
	IS("sched_getparam, DESCRIPTION", parameters.sched_priority, 0);
	SUCCEEDS(sched_setparam(0, &parameters));
	HOLDS("sched_setscheduler, RETURN VALUE: the former policy", sched_setscheduler(0, SCHED_OTHER, &parameters) == SCHED_OTHER);
	FAILS(sched_setscheduler(0, 99, &parameters), EINVAL);
	FAILS(sched_getscheduler(999999), ESRCH);
	FAILS(sched_getparam(999999, &parameters), ESRCH);
	FAILS(sched_setparam(999999, &parameters), ESRCH);
	FAILS(sched_setscheduler(999999, SCHED_OTHER, &parameters), ESRCH);
	parameters.sched_priority = 5;
	FAILS(sched_setparam(0, &parameters), EINVAL);
}

/* Scheduling of its own: what the policy refuses, creation refuses. */
static void at_creation(void)
{
	pthread_attr_t a;
	pthread_t thread;
	struct sched_param parameters = { .sched_priority = 40 };
	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	SUCCEEDS(pthread_create(&thread, &a, give_back, 0));
	SUCCEEDS(pthread_join(thread, 0));
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	ran = 0;
	SUCCEEDS(pthread_create(&thread, &a, count, 0));
	while (!ran) sched_yield();
	pthread_attr_setschedparam(&a, &parameters);
	ERROR(pthread_create(&thread, &a, give_back, 0), EINVAL);
	/* Without PTHREAD_EXPLICIT_SCHED nobody looks at them. */
	pthread_attr_setinheritsched(&a, PTHREAD_INHERIT_SCHED);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_JOINABLE);
	SUCCEEDS(pthread_create(&thread, &a, give_back, 0));
	SUCCEEDS(pthread_join(thread, 0));
	pthread_attr_destroy(&a);
}

void check_sched(void)
{
	pthread_t thread;
	sem_t gate;
	sem_init(&gate, 0, 0);
	SUCCEEDS(pthread_create(&thread, 0, wait_at, &gate));
	affinity(thread);
	of_thread(thread);
	sem_post(&gate);
	SUCCEEDS(pthread_join(thread, 0));
	of_process();
	at_creation();
	sem_destroy(&gate);
}
