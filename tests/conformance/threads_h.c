/* <threads.h>: the functions of C11, which POSIX.1-2024 takes over. */
#include "conformance.h"

static int return_number(void *number)
{
	return (int)(long)number;
}

static int exit_number(void *number)
{
	thrd_exit((int)(long)number);
}

static atomic_int ran, initialised, destroyed;

static int count(void *unused)
{
	(void)unused;
	ran++;
	return 0;
}

static int is_current(void *thread)
{
	while (!*(thrd_t volatile *)thread) thrd_yield();
	return thrd_equal(*(thrd_t *)thread, thrd_current());
}

static void threads(void)
{
	thrd_t thread;
	int result = 0;
	IS("thrd_create, RETURN VALUE", thrd_create(&thread, return_number, (void *)-3), thrd_success);
	IS("thrd_join, RETURN VALUE", thrd_join(thread, &result), thrd_success);
	IS("thrd_join, DESCRIPTION: result", result, -3);
	IS("thrd_create, RETURN VALUE", thrd_create(&thread, exit_number, (void *)77), thrd_success);
	HOLDS("thrd_equal, RETURN VALUE", !thrd_equal(thread, thrd_current()));
	IS("thrd_join, RETURN VALUE", thrd_join(thread, &result), thrd_success);
	IS("thrd_exit, DESCRIPTION: result", result, 77);
	thrd_t volatile itself = 0;
	IS("thrd_create, RETURN VALUE", thrd_create(&thread, is_current, (void *)&itself), thrd_success);
	itself = thread;
	IS("thrd_join, RETURN VALUE", thrd_join(thread, &result), thrd_success);
	IS("thrd_current, RETURN VALUE", result, 1);
	IS("thrd_create, RETURN VALUE", thrd_create(&thread, count, 0), thrd_success);
	IS("thrd_detach, RETURN VALUE", thrd_detach(thread), thrd_success);
	while (!ran) thrd_yield();
	IS("thrd_yield, DESCRIPTION: others run", ran, 1);
	IS("thrd_create, RETURN VALUE", thrd_create(&thread, return_number, 0), thrd_success);
	IS("thrd_join, RETURN VALUE", thrd_join(thread, 0), thrd_success);
	struct timespec start = in(CLOCK_MONOTONIC, 0);
	IS("thrd_sleep, RETURN VALUE", thrd_sleep(&(struct timespec){ 0, 10000000 }, 0), 0);
	HOLDS("thrd_sleep, DESCRIPTION: not shorter", elapsed(start) >= 10);
	HOLDS("thrd_sleep, RETURN VALUE: other errors", thrd_sleep(&no_time, 0) < -1);
}

static mtx_t mutex;
static cnd_t condition;
static int is_open, waiting;

static int expect_taken(void *unused)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	(void)unused;
	IS("mtx_trylock, RETURN VALUE", mtx_trylock(&mutex), thrd_busy);
	IS("mtx_timedlock, RETURN VALUE", mtx_timedlock(&mutex, &at), thrd_timedout);
	HOLDS("mtx_timedlock, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	return 0;
}

static int wait_until_open(void *unused)
{
	(void)unused;
	mtx_lock(&mutex);
	waiting++;
	while (!is_open) IS("cnd_wait, RETURN VALUE", cnd_wait(&condition, &mutex), thrd_success);
	mtx_unlock(&mutex);
	return 0;
}

static void mutexes(void)
{
	thrd_t thread;
	for (int recursive = 0; recursive < 2; recursive++) {
		int kind = mtx_timed | (recursive ? mtx_recursive : mtx_plain);
		IS("mtx_init, RETURN VALUE", mtx_init(&mutex, kind), thrd_success);
		IS("mtx_lock, RETURN VALUE", mtx_lock(&mutex), thrd_success);
		IS("mtx_trylock, RETURN VALUE", mtx_trylock(&mutex), recursive ? thrd_success : thrd_busy);
		if (recursive) IS("mtx_unlock, RETURN VALUE", mtx_unlock(&mutex), thrd_success);
		IS("thrd_create, RETURN VALUE", thrd_create(&thread, expect_taken, 0), thrd_success);
		IS("thrd_join, RETURN VALUE", thrd_join(thread, 0), thrd_success);
		IS("mtx_unlock, RETURN VALUE", mtx_unlock(&mutex), thrd_success);
		IS("mtx_timedlock, RETURN VALUE", mtx_timedlock(&mutex, &past), thrd_success);
		IS("mtx_unlock, RETURN VALUE", mtx_unlock(&mutex), thrd_success);
		mtx_destroy(&mutex);
		HOLDS("mtx_destroy, DESCRIPTION: initialised again", mtx_init(&mutex, mtx_plain) == thrd_success);
		mtx_destroy(&mutex);
	}
}

static void conditions(void)
{
	thrd_t threads[4];
	IS("mtx_init, RETURN VALUE", mtx_init(&mutex, mtx_plain), thrd_success);
	IS("cnd_init, RETURN VALUE", cnd_init(&condition), thrd_success);
	mtx_lock(&mutex);
	struct timespec at = in(CLOCK_REALTIME, 20);
	IS("cnd_timedwait, RETURN VALUE", cnd_timedwait(&condition, &mutex, &at), thrd_timedout);
	HOLDS("cnd_timedwait, DESCRIPTION: not before its time", between(at, in(CLOCK_REALTIME, 0)) >= 0);
	IS("mtx_unlock, RETURN VALUE", mtx_unlock(&mutex), thrd_success);
	for (int i = 0; i < 4; i++) IS("thrd_create, RETURN VALUE", thrd_create(&threads[i], wait_until_open, 0), thrd_success);
	for (;; thrd_yield()) {
		mtx_lock(&mutex);
		if (waiting == 4) break;
		mtx_unlock(&mutex);
	}
	is_open = 1;
	IS("cnd_signal, RETURN VALUE", cnd_signal(&condition), thrd_success);
	IS("cnd_broadcast, RETURN VALUE", cnd_broadcast(&condition), thrd_success);
	mtx_unlock(&mutex);
	for (int i = 0; i < 4; i++) IS("thrd_join, RETURN VALUE", thrd_join(threads[i], 0), thrd_success);
	cnd_destroy(&condition);
	HOLDS("cnd_destroy, DESCRIPTION: initialised again", cnd_init(&condition) == thrd_success);
	cnd_destroy(&condition);
	mtx_destroy(&mutex);
}

static tss_t key;

static void destroy(void *value)
{
	destroyed += (int)(long)value;
}

static int use_key(void *unused)
{
	(void)unused;
	HOLDS("tss_get, DESCRIPTION: null in new threads", !tss_get(key));
	IS("tss_set, RETURN VALUE", tss_set(key, (void *)6), thrd_success);
	return 0;
}

static void initialise(void)
{
	thrd_sleep(&(struct timespec){ 0, 10000000 }, 0);
	initialised++;
}

static once_flag flag = ONCE_FLAG_INIT;

static int do_once(void *unused)
{
	(void)unused;
	call_once(&flag, initialise);
	return initialised;
}

static void once_and_storage(void)
{
	thrd_t threads[3];
	for (int i = 0; i < 3; i++) IS("thrd_create, RETURN VALUE", thrd_create(&threads[i], do_once, 0), thrd_success);
	for (int i = 0; i < 3; i++) {
		int result = 0;
		IS("thrd_join, RETURN VALUE", thrd_join(threads[i], &result), thrd_success);
		IS("call_once, DESCRIPTION: complete on return", result, 1);
	}
	IS("call_once, DESCRIPTION: once", initialised, 1);

	IS("tss_create, RETURN VALUE", tss_create(&key, destroy), thrd_success);
	IS("tss_set, RETURN VALUE", tss_set(key, &key), thrd_success);
	HOLDS("tss_get, RETURN VALUE", tss_get(key) == &key);
	IS("thrd_create, RETURN VALUE", thrd_create(&threads[0], use_key, 0), thrd_success);
	IS("thrd_join, RETURN VALUE", thrd_join(threads[0], 0), thrd_success);
	IS("tss_create, DESCRIPTION: destructor at the end of the thread", destroyed, 6);
	HOLDS("tss_get, RETURN VALUE: each thread's own", tss_get(key) == &key);
	tss_delete(key);
	IS("tss_delete, DESCRIPTION: no destructor is called", destroyed, 6);
}

void check_threads_h(void)
{
	threads();
	mutexes();
	conditions();
	once_and_storage();
}
