/* pthread_attr_*, GNU's defaults of it, and the stacks that threads get by it. */
#include "conformance.h"

static void *give_back(void *argument)
{
	return argument;
}

static void values(void)
{
	pthread_attr_t a;
	int number = -1;
	size_t size = 0;
	void *low;
	struct sched_param parameters = { .sched_priority = 3 };
	SUCCEEDS(pthread_attr_init(&a));

	SUCCEEDS(pthread_attr_getdetachstate(&a, &number));
	IS("pthread_attr_init, DESCRIPTION: joinable", number, PTHREAD_CREATE_JOINABLE);
	SUCCEEDS(pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED));
	SUCCEEDS(pthread_attr_getdetachstate(&a, &number));
	IS("pthread_attr_getdetachstate, DESCRIPTION", number, PTHREAD_CREATE_DETACHED);
	/* Bits that neither value has. */
	ERROR(pthread_attr_setdetachstate(&a, 2), EINVAL);
	ERROR(pthread_attr_setdetachstate(&a, -1), EINVAL);
	SUCCEEDS(pthread_attr_getdetachstate(&a, &number));
	IS("pthread_attr_setdetachstate, ERRORS: nothing changed", number, PTHREAD_CREATE_DETACHED);

	SUCCEEDS(pthread_attr_getstacksize(&a, &size));
	CHOICE HOLDS("pthread_attr_init, pthread-shim: stacks for CPython", size >= 8 << 20);
	ERROR(pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN - 1), EINVAL);
	ERROR(pthread_attr_setstacksize(&a, SIZE_MAX), EINVAL);
	SUCCEEDS(pthread_attr_setstacksize(&a, 1 << 20));
	SUCCEEDS(pthread_attr_getstacksize(&a, &size));
	IS("pthread_attr_getstacksize, DESCRIPTION", size, 1 << 20);

	SUCCEEDS(pthread_attr_getguardsize(&a, &size));
	HOLDS("pthread_attr_getguardsize, DESCRIPTION: a guard by default", size > 0);
	ERROR(pthread_attr_setguardsize(&a, SIZE_MAX), EINVAL);
	SUCCEEDS(pthread_attr_setguardsize(&a, 65536));
	SUCCEEDS(pthread_attr_getguardsize(&a, &size));
	IS("pthread_attr_getguardsize, DESCRIPTION", size, 65536);
	/* What was asked for, not what it was rounded to. */
	SUCCEEDS(pthread_attr_setguardsize(&a, 5000));
	SUCCEEDS(pthread_attr_getguardsize(&a, &size));
	IS("pthread_attr_getguardsize, DESCRIPTION: as it was set", size, 5000);

	CHOICE ERROR(pthread_attr_getstack(&a, &low, &size), EINVAL);
	MAY_ERROR(pthread_attr_setstack(&a, 0, 1 << 20), EINVAL);
	ERROR(pthread_attr_setstack(&a, (void *)0x10000, 100), EINVAL);
	SUCCEEDS(pthread_attr_setstack(&a, (void *)0x10000, 1 << 20));
	SUCCEEDS(pthread_attr_getstack(&a, &low, &size));
	HOLDS("pthread_attr_getstack, DESCRIPTION", low == (void *)0x10000 && size == 1 << 20);
	SUCCEEDS(pthread_attr_getstacksize(&a, &size));
	IS("pthread_attr_setstack, DESCRIPTION: stacksize too", size, 1 << 20);

	SUCCEEDS(pthread_attr_getscope(&a, &number));
	IS("pthread_attr_getscope, DESCRIPTION", number, PTHREAD_SCOPE_SYSTEM);
	SUCCEEDS(pthread_attr_setscope(&a, PTHREAD_SCOPE_SYSTEM));
	ERROR(pthread_attr_setscope(&a, PTHREAD_SCOPE_PROCESS), ENOTSUP);
	ERROR(pthread_attr_setscope(&a, 7), EINVAL);

	SUCCEEDS(pthread_attr_getinheritsched(&a, &number));
	IS("pthread_attr_init, pthread-shim: scheduling inherited", number, PTHREAD_INHERIT_SCHED);
	ERROR(pthread_attr_setinheritsched(&a, 2), EINVAL);
	SUCCEEDS(pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED));
	SUCCEEDS(pthread_attr_getinheritsched(&a, &number));
	IS("pthread_attr_getinheritsched, DESCRIPTION", number, PTHREAD_EXPLICIT_SCHED);

	MAY_ERROR(pthread_attr_setschedpolicy(&a, 77), EINVAL);
	static const int policies[] = { SCHED_FIFO, SCHED_RR, SCHED_OTHER };
	for (int i = 0; i < 3; i++) {
		SUCCEEDS(pthread_attr_setschedpolicy(&a, policies[i]));
		SUCCEEDS(pthread_attr_getschedpolicy(&a, &number));
		IS("pthread_attr_getschedpolicy, DESCRIPTION", number, policies[i]);
	}
	SUCCEEDS(pthread_attr_setschedpolicy(&a, SCHED_RR));
	SUCCEEDS(pthread_attr_setschedparam(&a, &parameters));
	parameters.sched_priority = 0;
	SUCCEEDS(pthread_attr_getschedparam(&a, &parameters));
	IS("pthread_attr_getschedparam, DESCRIPTION", parameters.sched_priority, 3);
	ERROR(pthread_setattr_default_np(&a), EINVAL);
	SUCCEEDS(pthread_attr_destroy(&a));
	/* Destroyed, it may be initialised again. */
	SUCCEEDS(pthread_attr_init(&a));
	SUCCEEDS(pthread_attr_getdetachstate(&a, &number));
	IS("pthread_attr_destroy, DESCRIPTION: initialised again", number, PTHREAD_CREATE_JOINABLE);
	SUCCEEDS(pthread_attr_destroy(&a));
	SUCCEEDS(pthread_getattr_default_np(&a));
	SUCCEEDS(pthread_setattr_default_np(&a));
}

/* Checks that the caller runs on the stack that its attributes name. */
static void *check_stack(void *minimum)
{
	pthread_attr_t a;
	void *low = 0;
	size_t size = 0, guard = 0;
	char here;
	SUCCEEDS(pthread_getattr_np(pthread_self(), &a));
	SUCCEEDS(pthread_attr_getstack(&a, &low, &size));
	HOLDS("pthread_getattr_np, GNU: the stack in use", &here > (char *)low && &here < (char *)low + size);
	HOLDS("pthread_attr_setstacksize, DESCRIPTION: at least as large", size >= (size_t)minimum);
	SUCCEEDS(pthread_attr_getguardsize(&a, &guard));
	/* All of it is there: the lowest byte too. */
	if (minimum) *(volatile char *)low = 1;
	pthread_attr_destroy(&a);
	return 0;
}

/* Below the lowest byte of the stack lies the guard, at least as large as was asked for. */
static void *overrun(void *guard)
{
	pthread_attr_t a;
	void *low = 0;
	size_t size = 0;
	SUCCEEDS(pthread_getattr_np(pthread_self(), &a));
	SUCCEEDS(pthread_attr_getstack(&a, &low, &size));
	IS("pthread_attr_setguardsize, DESCRIPTION: SIGSEGV", touch((char *)low - 1, 1), SIGSEGV);
	IS("pthread_attr_setguardsize, DESCRIPTION: SIGSEGV", touch((char *)low - (size_t)guard, 1), SIGSEGV);
	HOLDS("pthread_attr_setguardsize, DESCRIPTION: si_addr", fault.address == (char *)low - (size_t)guard);
	pthread_attr_destroy(&a);
	return 0;
}

static void *report_detached(void *state)
{
	pthread_attr_t a;
	int number = -1;
	SUCCEEDS(pthread_getattr_np(pthread_self(), &a));
	SUCCEEDS(pthread_attr_getdetachstate(&a, &number));
	*(atomic_int *)state = number;
	pthread_attr_destroy(&a);
	return 0;
}

static void stacks(void)
{
	pthread_attr_t a;
	pthread_t thread;
	/* The first thread's stack. */
	check_stack((void *)0);
	SUCCEEDS(pthread_attr_init(&a));
	SUCCEEDS(pthread_attr_setstacksize(&a, 32768));
	SUCCEEDS(pthread_create(&thread, &a, check_stack, (void *)32768));
	SUCCEEDS(pthread_join(thread, 0));
	/* A smaller one than CPython counts on becomes a large one. */
	CHOICE {
		SUCCEEDS(pthread_create(&thread, &a, check_stack, (void *)(4000000 + 65536)));
		SUCCEEDS(pthread_join(thread, 0));
	}
	SUCCEEDS(pthread_attr_setstacksize(&a, 32 << 20));
	SUCCEEDS(pthread_create(&thread, &a, check_stack, (void *)(32 << 20)));
	SUCCEEDS(pthread_join(thread, 0));
	SUCCEEDS(pthread_attr_setguardsize(&a, 16 * page));
	SUCCEEDS(pthread_create(&thread, &a, overrun, (void *)(16 * page)));
	SUCCEEDS(pthread_join(thread, 0));
	SUCCEEDS(pthread_attr_setstacksize(&a, (size_t)1 << 60));
	ERROR(pthread_create(&thread, &a, give_back, 0), EAGAIN);
	char *own = pages((1 << 20) / page);
	memset(own, 'x', page);
	SUCCEEDS(pthread_attr_setstack(&a, own, 1 << 20));
	/* musl keeps what it knows of the thread at its upper end. */
	size_t all = (1 << 20) - (REFERENCE ? 8192 : 16);
	for (int i = 0; i < 3; i++) {
		SUCCEEDS(pthread_create(&thread, &a, check_stack, (void *)all));
		SUCCEEDS(pthread_join(thread, 0));
	}
	IS("pthread_attr_setstack, DESCRIPTION: the creator's stack outlives the thread", own[page - 1], 'x');
	munmap(own, 1 << 20);
	pthread_attr_destroy(&a);

	atomic_int state = -1;
	in_thread(report_detached, &state);
	IS("pthread_attr_setdetachstate, DESCRIPTION: joinable", state, PTHREAD_CREATE_JOINABLE);
	SUCCEEDS(pthread_attr_init(&a));
	SUCCEEDS(pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED));
	state = -1;
	SUCCEEDS(pthread_create(&thread, &a, report_detached, &state));
	while (state == -1) sched_yield();
	IS("pthread_attr_setdetachstate, DESCRIPTION: detached", state, PTHREAD_CREATE_DETACHED);
	SUCCEEDS(pthread_attr_destroy(&a));
}

void check_pthread_attr(void)
{
	values();
	stacks();
}
