/* pthread_barrier_* and pthread_barrierattr_*. */
#include "conformance.h"

static pthread_barrier_t barrier;
static atomic_int serial, round_sum[50];

static void *pass_barriers(void *unused)
{
	for (int i = 0; i < 50; i++) {
		round_sum[i]++;
		int result = pthread_barrier_wait(&barrier);
		IS("pthread_barrier_wait, DESCRIPTION: all have called", round_sum[i], 4);
		if (result == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
		else IS("pthread_barrier_wait, RETURN VALUE", result, 0);
	}
	return unused;
}

static void *pass_and_destroy(void *each)
{
	if (pthread_barrier_wait(each) == PTHREAD_BARRIER_SERIAL_THREAD) {
		SUCCEEDS(pthread_barrier_destroy(each));
		memset(each, 0x5a, sizeof(pthread_barrier_t));
	}
	return 0;
}

static atomic_int handled;
static sem_t started;

static void note(int signal)
{
	handled = signal;
}

static void *wait_there(void *unused)
{
	sem_post(&started);
	pthread_barrier_wait(&barrier);
	return unused;
}

void check_pthread_barrier(void)
{
	pthread_barrierattr_t a;
	int number = -1;
	pthread_t threads[4];
	SUCCEEDS(pthread_barrierattr_init(&a));
	SUCCEEDS(pthread_barrierattr_getpshared(&a, &number));
	IS("pthread_barrierattr_getpshared, DESCRIPTION: private by default", number, PTHREAD_PROCESS_PRIVATE);
	ERROR(pthread_barrierattr_setpshared(&a, 2), EINVAL);
	SUCCEEDS(pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED));
	SUCCEEDS(pthread_barrierattr_getpshared(&a, &number));
	IS("pthread_barrierattr_setpshared, DESCRIPTION", number, PTHREAD_PROCESS_SHARED);
	ERROR(pthread_barrier_init(&barrier, &a, 0), EINVAL);
	ERROR(pthread_barrier_init(&barrier, 0, 0), EINVAL);
	for (int kind = 0; kind < 2; kind++) {
		SUCCEEDS(pthread_barrier_init(&barrier, kind ? &a : 0, 4));
		serial = 0;
		for (int i = 0; i < 50; i++) round_sum[i] = 0;
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, pass_barriers, 0));
		for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
		IS("pthread_barrier_wait, RETURN VALUE: one serial thread a round", serial, 50);
		SUCCEEDS(pthread_barrier_destroy(&barrier));
	}
	SUCCEEDS(pthread_barrierattr_destroy(&a));
	/* Of one thread: nobody to wait for. */
	SUCCEEDS(pthread_barrier_init(&barrier, 0, 1));
	for (int i = 0; i < 3; i++) {
		IS("pthread_barrier_wait, RETURN VALUE", pthread_barrier_wait(&barrier), PTHREAD_BARRIER_SERIAL_THREAD);
	}
	SUCCEEDS(pthread_barrier_destroy(&barrier));
	/* The one that is told so may destroy it at once, while the others have yet to return. */
	for (int i = 0; i < 50; i++) {
		pthread_barrier_t *each = malloc(sizeof *each);
		pthread_barrier_init(each, 0, 3);
		for (int j = 0; j < 3; j++) SUCCEEDS(pthread_create(&threads[j], 0, pass_and_destroy, each));
		for (int j = 0; j < 3; j++) SUCCEEDS(pthread_join(threads[j], 0));
		free(each);
	}

	/* A signal is handled while its thread waits, which goes on. */
	struct sigaction old = handle(SIGUSR1, note);
	sem_init(&started, 0, 0);
	SUCCEEDS(pthread_barrier_init(&barrier, 0, 2));
	SUCCEEDS(pthread_create(&threads[0], 0, wait_there, 0));
	take(&started);
	usleep(20000);
	SUCCEEDS(pthread_kill(threads[0], SIGUSR1));
	while (!handled) sched_yield();
	IS("pthread_barrier_wait, DESCRIPTION: signals are handled", handled, SIGUSR1);
	ERROR(pthread_tryjoin_np(threads[0], 0), EBUSY);
	pthread_barrier_wait(&barrier);
	SUCCEEDS(pthread_join(threads[0], 0));
	SUCCEEDS(pthread_barrier_destroy(&barrier));
	sigaction(SIGUSR1, &old, 0);
}
