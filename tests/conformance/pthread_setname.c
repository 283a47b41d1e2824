/* pthread_setname_np, pthread_getname_np: GNU's. */
#include "conformance.h"

static void *check_own_name(void *unused)
{
	char name[16];
	(void)unused;
	SUCCEEDS(pthread_setname_np(pthread_self(), "worker"));
	SUCCEEDS(pthread_getname_np(pthread_self(), name, sizeof name));
	HOLDS("pthread_getname_np, GNU", !strcmp(name, "worker"));
	return 0;
}

static void *wait_at(void *gate)
{
	take(gate);
	return 0;
}

void check_pthread_setname(void)
{
	char name[32], before[16];
	pthread_t thread;
	sem_t gate;
	sem_init(&gate, 0, 0);
	SUCCEEDS(pthread_getname_np(pthread_self(), before, sizeof before));
	in_thread(check_own_name, 0);
	SUCCEEDS(pthread_getname_np(pthread_self(), name, sizeof name));
	HOLDS("pthread_setname_np, GNU: the named thread alone", !strcmp(name, before));
	ERROR(pthread_setname_np(pthread_self(), "sixteen bytes or more"), ERANGE);
	ERROR(pthread_getname_np(pthread_self(), name, 15), ERANGE);
	SUCCEEDS(pthread_create(&thread, 0, wait_at, &gate));
	SUCCEEDS(pthread_setname_np(thread, "fifteen bytes ."));
	SUCCEEDS(pthread_getname_np(thread, name, sizeof name));
	HOLDS("pthread_getname_np, GNU", !strcmp(name, "fifteen bytes ."));
	SUCCEEDS(pthread_setname_np(thread, ""));
	SUCCEEDS(pthread_getname_np(thread, name, sizeof name));
	HOLDS("pthread_getname_np, GNU: none", !strcmp(name, ""));
	sem_post(&gate);
	SUCCEEDS(pthread_join(thread, 0));
	sem_destroy(&gate);
}
