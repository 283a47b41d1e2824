/* pthread_key_create, pthread_key_delete, pthread_getspecific, pthread_setspecific. */
#include "conformance.h"

static pthread_key_t first_key, second_key, endless_key;
static atomic_int destroyed, seen_in_destructor;

static void destroy(void *value)
{
	destroyed++;
	if (pthread_getspecific(first_key)) seen_in_destructor++;
	/* Comes back twice: destructors run in rounds. */
	if ((size_t)value > 1) pthread_setspecific(first_key, (char *)value - 1);
}

static void *use_keys(void *unused)
{
	(void)unused;
	HOLDS("pthread_key_create, DESCRIPTION: NULL in new threads", !pthread_getspecific(first_key));
	HOLDS("pthread_getspecific, RETURN VALUE: NULL in new threads", !pthread_getspecific(second_key));
	SUCCEEDS(pthread_setspecific(first_key, (void *)3));
	SUCCEEDS(pthread_setspecific(second_key, (void *)9));
	return pthread_getspecific(second_key);
}

static atomic_int rounds;

static void come_back(void *value)
{
	rounds++;
	pthread_setspecific(endless_key, value);
}

static void *use_endless_key(void *unused)
{
	SUCCEEDS(pthread_setspecific(endless_key, &rounds));
	return unused;
}

static void *use_deleted_key(void *unused)
{
	SUCCEEDS(pthread_setspecific(first_key, (void *)1));
	SUCCEEDS(pthread_key_delete(first_key));
	return unused;
}

static void *use_and_clear(void *unused)
{
	SUCCEEDS(pthread_setspecific(first_key, (void *)1));
	SUCCEEDS(pthread_setspecific(first_key, 0));
	return unused;
}

void check_pthread_key(void)
{
	SUCCEEDS(pthread_key_create(&first_key, destroy));
	SUCCEEDS(pthread_key_create(&second_key, 0));
	HOLDS("pthread_key_create, DESCRIPTION: keys differ", first_key != second_key);
	HOLDS("pthread_key_create, DESCRIPTION: NULL in all threads", !pthread_getspecific(first_key));
	SUCCEEDS(pthread_setspecific(second_key, (void *)5));
	IS("pthread_getspecific, RETURN VALUE", in_thread(use_keys, 0), 9);
	IS("pthread_key_create, DESCRIPTION: destructors again while values are set", destroyed, 3);
	IS("pthread_key_create, DESCRIPTION: the value is NULL in its destructor", seen_in_destructor, 0);
	IS("pthread_setspecific, DESCRIPTION: each thread its own", pthread_getspecific(second_key), 5);
	destroyed = 0;
	in_thread(use_and_clear, 0);
	IS("pthread_key_create, DESCRIPTION: no destructor for NULL", destroyed, 0);
	in_thread(use_deleted_key, 0);
	IS("pthread_key_delete, DESCRIPTION: no destructor is called", destroyed, 0);
	SUCCEEDS(pthread_key_create(&first_key, destroy));

	/* One that never ends is given up. */
	SUCCEEDS(pthread_key_create(&endless_key, come_back));
	in_thread(use_endless_key, 0);
	HOLDS("pthread_key_create, DESCRIPTION: at least PTHREAD_DESTRUCTOR_ITERATIONS", rounds >= PTHREAD_DESTRUCTOR_ITERATIONS);
	HOLDS("limits_h, Maximum Values: iterations", PTHREAD_DESTRUCTOR_ITERATIONS >= _POSIX_THREAD_DESTRUCTOR_ITERATIONS);
	IS("sysconf, DESCRIPTION", sysconf(_SC_THREAD_DESTRUCTOR_ITERATIONS), PTHREAD_DESTRUCTOR_ITERATIONS);
	SUCCEEDS(pthread_key_delete(endless_key));

	SUCCEEDS(pthread_key_delete(second_key));
	MAY_ERROR(pthread_key_delete(second_key), EINVAL);
	MAY_ERROR(pthread_setspecific(second_key, (void *)1), EINVAL);
	MAY_ERROR(pthread_key_delete(PTHREAD_KEYS_MAX), EINVAL);
	pthread_key_t again;
	SUCCEEDS(pthread_key_create(&again, 0));
	HOLDS("pthread_key_create, DESCRIPTION: NULL in all threads", !pthread_getspecific(again));
	SUCCEEDS(pthread_key_delete(again));

	pthread_key_t all[PTHREAD_KEYS_MAX];
	int created = 0;
	while (created < PTHREAD_KEYS_MAX && !pthread_key_create(&all[created], 0)) created++;
	/* One is `first_key`. */
	IS("pthread_key_create, ERRORS [EAGAIN]: not before PTHREAD_KEYS_MAX", created, PTHREAD_KEYS_MAX - 1);
	ERROR(pthread_key_create(&again, 0), EAGAIN);
	while (created) SUCCEEDS(pthread_key_delete(all[--created]));
	SUCCEEDS(pthread_key_delete(first_key));
}
