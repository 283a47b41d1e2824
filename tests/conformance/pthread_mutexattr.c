/* pthread_mutexattr_*. */
#include "conformance.h"

pthread_mutex_t mutex_of(int type, int robust, int shared)
{
	pthread_mutexattr_t a;
	pthread_mutex_t mutex;
	SUCCEEDS(pthread_mutexattr_init(&a));
	SUCCEEDS(pthread_mutexattr_settype(&a, type));
	SUCCEEDS(pthread_mutexattr_setrobust(&a, robust));
	SUCCEEDS(pthread_mutexattr_setpshared(&a, shared));
	SUCCEEDS(pthread_mutex_init(&mutex, &a));
	SUCCEEDS(pthread_mutexattr_destroy(&a));
	return mutex;
}

static void protocol(pthread_mutexattr_t *a)
{
	int number = -1;
	SUCCEEDS(pthread_mutexattr_getprotocol(a, &number));
	IS("pthread_mutexattr_getprotocol, DESCRIPTION: PTHREAD_PRIO_NONE by default", number, PTHREAD_PRIO_NONE);
	SUCCEEDS(pthread_mutexattr_setprotocol(a, PTHREAD_PRIO_NONE));
	/* Options that pthread-shim does not have. */
	CHOICE ERROR(pthread_mutexattr_setprotocol(a, PTHREAD_PRIO_INHERIT), ENOTSUP);
	CHOICE ERROR(pthread_mutexattr_setprotocol(a, PTHREAD_PRIO_PROTECT), ENOTSUP);
	ERROR(pthread_mutexattr_setprotocol(a, 9), EINVAL);
	SUCCEEDS(pthread_mutexattr_getprotocol(a, &number));
	IS("pthread_mutexattr_setprotocol, ERRORS: nothing changed", number, PTHREAD_PRIO_NONE);
	CHOICE {
		ERROR(pthread_mutexattr_getprioceiling(a, &number), EINVAL);
		ERROR(pthread_mutexattr_setprioceiling(a, 1), EINVAL);
	}
}

void check_pthread_mutexattr(void)
{
	pthread_mutexattr_t a;
	int number = -1;
	SUCCEEDS(pthread_mutexattr_init(&a));
	SUCCEEDS(pthread_mutexattr_gettype(&a, &number));
	IS("pthread_mutexattr_gettype, DESCRIPTION: PTHREAD_MUTEX_DEFAULT by default", number, PTHREAD_MUTEX_DEFAULT);
	static const int types[] = {
		PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_DEFAULT,
	};
	for (int i = 0; i < 4; i++) {
		SUCCEEDS(pthread_mutexattr_settype(&a, types[i]));
		SUCCEEDS(pthread_mutexattr_gettype(&a, &number));
		IS("pthread_mutexattr_settype, DESCRIPTION", number, types[i]);
	}
	ERROR(pthread_mutexattr_settype(&a, 3), EINVAL);
	ERROR(pthread_mutexattr_settype(&a, -1), EINVAL);

	SUCCEEDS(pthread_mutexattr_getrobust(&a, &number));
	IS("pthread_mutexattr_getrobust, DESCRIPTION: PTHREAD_MUTEX_STALLED by default", number, PTHREAD_MUTEX_STALLED);
	ERROR(pthread_mutexattr_setrobust(&a, 2), EINVAL);
	SUCCEEDS(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST));
	SUCCEEDS(pthread_mutexattr_getrobust(&a, &number));
	IS("pthread_mutexattr_setrobust, DESCRIPTION", number, PTHREAD_MUTEX_ROBUST);
	SUCCEEDS(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_STALLED));
	SUCCEEDS(pthread_mutexattr_getrobust(&a, &number));
	IS("pthread_mutexattr_setrobust, DESCRIPTION", number, PTHREAD_MUTEX_STALLED);

	SUCCEEDS(pthread_mutexattr_getpshared(&a, &number));
	IS("pthread_mutexattr_getpshared, DESCRIPTION: private by default", number, PTHREAD_PROCESS_PRIVATE);
	ERROR(pthread_mutexattr_setpshared(&a, 2), EINVAL);
	SUCCEEDS(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	SUCCEEDS(pthread_mutexattr_getpshared(&a, &number));
	IS("pthread_mutexattr_setpshared, DESCRIPTION", number, PTHREAD_PROCESS_SHARED);
	SUCCEEDS(pthread_mutexattr_gettype(&a, &number));
	IS("pthread_mutexattr_setpshared, DESCRIPTION: that attribute alone", number, PTHREAD_MUTEX_DEFAULT);
	protocol(&a);

	/* What happens to the attributes later does not change the mutex. */
	pthread_mutex_t mutex;
	SUCCEEDS(pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK));
	SUCCEEDS(pthread_mutex_init(&mutex, &a));
	SUCCEEDS(pthread_mutexattr_settype(&a, PTHREAD_MUTEX_NORMAL));
	SUCCEEDS(pthread_mutexattr_destroy(&a));
	SUCCEEDS(pthread_mutex_lock(&mutex));
	IS("pthread_mutexattr_destroy, DESCRIPTION: mutexes keep what they have", pthread_mutex_lock(&mutex), EDEADLK);
	SUCCEEDS(pthread_mutex_unlock(&mutex));
	SUCCEEDS(pthread_mutex_destroy(&mutex));
	SUCCEEDS(pthread_mutexattr_init(&a));
	SUCCEEDS(pthread_mutexattr_gettype(&a, &number));
	IS("pthread_mutexattr_destroy, DESCRIPTION: initialised again", number, PTHREAD_MUTEX_DEFAULT);
	SUCCEEDS(pthread_mutexattr_destroy(&a));
}
