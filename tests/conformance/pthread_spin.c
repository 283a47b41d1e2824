/* pthread_spin_*. */
#include "conformance.h"

static pthread_spinlock_t spin;
static int counter;

static void *add_many(void *unused)
{
	for (int i = 0; i < 2000; i++) {
		pthread_spin_lock(&spin);
		counter++;
		pthread_spin_unlock(&spin);
	}
	return unused;
}

static void *expect_busy(void *unused)
{
	ERROR(pthread_spin_trylock(&spin), EBUSY);
	return unused;
}

void check_pthread_spin(void)
{
	for (int shared = 0; shared < 2; shared++) {
		pthread_t threads[4];
		SUCCEEDS(pthread_spin_init(&spin, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE));
		SUCCEEDS(pthread_spin_lock(&spin));
		ERROR(pthread_spin_trylock(&spin), EBUSY);
		in_thread(expect_busy, 0);
		MAY_ERROR(pthread_spin_destroy(&spin), EBUSY);
		SUCCEEDS(pthread_spin_unlock(&spin));
		MAY_ERROR(pthread_spin_unlock(&spin), EPERM);
		SUCCEEDS(pthread_spin_trylock(&spin));
		SUCCEEDS(pthread_spin_unlock(&spin));
		counter = 0;
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, add_many, 0));
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
		IS("pthread_spin_lock, DESCRIPTION: one holder", counter, 8000);
		SUCCEEDS(pthread_spin_destroy(&spin));
	}
}
