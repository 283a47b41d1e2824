/* Signals to threads, cancellation, C11's names, and musl's own state. */
#include "conformance.h"

static pthread_mutex_t box_mutex = PTHREAD_MUTEX_INITIALIZER;
static int open_gate;

/* ---- signals ---- */

static atomic_int caught, caught_by;

static void catch(int signal)
{
	caught = signal;
	caught_by = gettid();
}

static sem_t never, ready;

static void *wait_interrupted(void *unused)
{
	sem_post(&ready);
	FAILS(sem_wait(&never), EINTR);
	EQUAL(caught_by, gettid());
	return unused;
}

static void *wait_through(void *condition)
{
	pthread_mutex_lock(&box_mutex);
	sem_post(&ready);
	open_gate = 0;
	while (!open_gate) EQUAL(pthread_cond_wait(condition, &box_mutex), 0);
	pthread_mutex_unlock(&box_mutex);
	return 0;
}

void signals(void)
{
	struct sigaction action = { .sa_handler = catch };
	sigset_t set, old;
	pthread_t thread;
	sigaction(SIGUSR1, &action, 0);
	sem_init(&never, 0, 0);
	sem_init(&ready, 0, 0);
	EQUAL(pthread_kill(pthread_self(), SIGUSR1), 0);
	EQUAL(caught, SIGUSR1);
	EQUAL(caught_by, gettid());

	pthread_create(&thread, 0, wait_interrupted, 0);
	sem_wait(&ready);
	usleep(50000);
	EQUAL(pthread_kill(thread, SIGUSR1), 0);
	EQUAL(pthread_join(thread, 0), 0);

	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	pthread_create(&thread, 0, wait_through, &condition);
	sem_wait(&ready);
	usleep(50000);
	EQUAL(pthread_kill(thread, SIGUSR1), 0);
	usleep(50000);
	pthread_mutex_lock(&box_mutex);
	open_gate = 1;
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&box_mutex);
	EQUAL(pthread_join(thread, 0), 0);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EQUAL(pthread_sigmask(99, &set, 0), EINVAL);
	EQUAL(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	EQUAL(sigismember(&old, SIGUSR1), 0);
	caught = 0;
	EQUAL(raise(SIGUSR1), 0);
	EQUAL(caught, 0);
	EQUAL(pthread_sigmask(SIG_SETMASK, &old, &set), 0);
	EQUAL(sigismember(&set, SIGUSR1), 1);
	EQUAL(caught, SIGUSR1);
	EQUAL(pthread_sigmask(99, 0, &set), 0);
}

/* ---- cancellation ---- */

static atomic_int cleaned;

static void clean(void *order)
{
	cleaned = cleaned * 10 + (int)(long)order;
}

static void unlock(void *mutex)
{
	EQUAL(pthread_mutex_unlock(mutex), 0);
	cleaned = cleaned * 10 + 9;
}

static void *sleep_for_ever(void *unused)
{
	pthread_cleanup_push(clean, (void *)1);
	pthread_cleanup_push(clean, (void *)2);
	sem_post(&ready);
	pause();
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return unused;
}

static void *wait_for_ever(void *condition)
{
	pthread_mutex_lock(&box_mutex);
	pthread_cleanup_push(unlock, &box_mutex);
	sem_post(&ready);
	for (;;) pthread_cond_wait(condition, &box_mutex);
	pthread_cleanup_pop(0);
	return 0;
}

static void *wait_on_semaphore(void *unused)
{
	sem_post(&ready);
	sem_wait(&never);
	return unused;
}

static void *join_for_ever(void *target)
{
	sem_post(&ready);
	pthread_join(target, 0);
	return 0;
}

static void *refuse(void *unused)
{
	int old = -1;
	EQUAL(pthread_setcancelstate(7, 0), EINVAL);
	EQUAL(pthread_setcanceltype(7, 0), EINVAL);
	EQUAL(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
	EQUAL(old, PTHREAD_CANCEL_ENABLE);
	sem_post(&ready);
	while (sem_wait(&never)) {}
	pthread_testcancel();
	EQUAL(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old), 0);
	EQUAL(old, PTHREAD_CANCEL_DISABLE);
	cleaned = 5;
	pthread_testcancel();
	cleaned = 6;
	return unused;
}

static void *spin_asynchronously(void *unused)
{
	int old = -1;
	EQUAL(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old), 0);
	EQUAL(old, PTHREAD_CANCEL_DEFERRED);
	sem_post(&ready);
	for (;;) {}
	return unused;
}

static void *cancel_self(void *unused)
{
	EQUAL(pthread_cancel(pthread_self()), 0);
	cleaned = 7;
	pthread_testcancel();
	cleaned = 8;
	return unused;
}

static void expect_cancelled(void *(*routine)(void *), void *argument, int delay)
{
	pthread_t thread;
	void *result = 0;
	cleaned = 0;
	EQUAL(pthread_create(&thread, 0, routine, argument), 0);
	while (sem_wait(&ready)) {}
	if (delay) usleep(delay);
	EQUAL(pthread_cancel(thread), 0);
	EQUAL(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
}

void cancellation(void)
{
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	for (int delay = 0; delay < 60000; delay += 20000) {
		expect_cancelled(sleep_for_ever, 0, delay);
		EQUAL(cleaned, 21);
		expect_cancelled(wait_for_ever, &condition, delay);
		EQUAL(cleaned, 9);
		EQUAL(pthread_cond_destroy(&condition), 0);
		expect_cancelled(wait_on_semaphore, 0, delay);
		expect_cancelled(spin_asynchronously, 0, delay);
	}
	EQUAL(sem_post(&never), 0);
	EQUAL(sem_trywait(&never), 0);

	pthread_t sleeper;
	pthread_create(&sleeper, 0, wait_on_semaphore, 0);
	while (sem_wait(&ready)) {}
	expect_cancelled(join_for_ever, sleeper, 20000);
	sem_post(&never);
	EQUAL(pthread_join(sleeper, 0), 0);

	pthread_t thread;
	void *result = 0;
	EQUAL(pthread_create(&thread, 0, refuse, 0), 0);
	while (sem_wait(&ready)) {}
	EQUAL(pthread_cancel(thread), 0);
	usleep(20000);
	sem_post(&never);
	EQUAL(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQUAL(cleaned, 5);
	CHECK(in_thread(cancel_self, 0) == PTHREAD_CANCELED);
	EQUAL(cleaned, 7);
	cleaned = 0;
	pthread_cleanup_push(clean, (void *)3);
	pthread_cleanup_pop(1);
	EQUAL(cleaned, 3);
}

/* ---- C11 ---- */

static int return_number(void *number)
{
	return (int)(long)number;
}

static int exit_number(void *number)
{
	thrd_exit((int)(long)number);
}

static atomic_int initialised;

static void initialise(void)
{
	initialised++;
}

static once_flag flag = ONCE_FLAG_INIT;
static mtx_t mutex;

static int expect_taken(void *unused)
{
	struct timespec at = in(CLOCK_REALTIME, 20);
	(void)unused;
	EQUAL(mtx_trylock(&mutex), thrd_busy);
	EQUAL(mtx_timedlock(&mutex, &at), thrd_timedout);
	return 0;
}

void c11(void)
{
	thrd_t thread;
	int result = 0;
	EQUAL(thrd_create(&thread, return_number, (void *)-3), thrd_success);
	EQUAL(thrd_join(thread, &result), thrd_success);
	EQUAL(result, -3);
	EQUAL(thrd_create(&thread, exit_number, (void *)77), thrd_success);
	CHECK(!thrd_equal(thread, thrd_current()));
	EQUAL(thrd_join(thread, &result), thrd_success);
	EQUAL(result, 77);
	EQUAL(thrd_create(&thread, return_number, 0), thrd_success);
	EQUAL(thrd_detach(thread), thrd_success);
	EQUAL(thrd_sleep(&(struct timespec){ 0, 1000000 }, 0), 0);
	CHECK(thrd_sleep(&no_time, 0) < -1);
	thrd_yield();
	initialised = 0;
	call_once(&flag, initialise);
	call_once(&flag, initialise);
	EQUAL(initialised, 1);
	for (int recursive = 0; recursive < 2; recursive++) {
		EQUAL(mtx_init(&mutex, mtx_timed | (recursive ? mtx_recursive : mtx_plain)), thrd_success);
		EQUAL(mtx_lock(&mutex), thrd_success);
		EQUAL(mtx_trylock(&mutex), recursive ? thrd_success : thrd_busy);
		if (recursive) EQUAL(mtx_unlock(&mutex), thrd_success);
		thrd_create(&thread, expect_taken, 0);
		thrd_join(thread, 0);
		EQUAL(mtx_unlock(&mutex), thrd_success);
		mtx_destroy(&mutex);
	}
	cnd_t condition;
	EQUAL(mtx_init(&mutex, mtx_plain), thrd_success);
	EQUAL(cnd_init(&condition), thrd_success);
	mtx_lock(&mutex);
	struct timespec at = in(CLOCK_REALTIME, 20);
	EQUAL(cnd_timedwait(&condition, &mutex, &at), thrd_timedout);
	EQUAL(mtx_unlock(&mutex), thrd_success);
	EQUAL(cnd_signal(&condition), thrd_success);
	EQUAL(cnd_broadcast(&condition), thrd_success);
	cnd_destroy(&condition);
	tss_t key;
	EQUAL(tss_create(&key, 0), thrd_success);
	EQUAL(tss_set(key, &key), thrd_success);
	CHECK(tss_get(key) == &key);
	tss_delete(key);
}

/* ---- musl's own state ---- */

static FILE *stream;

static void *write_lines(void *text)
{
	for (int i = 0; i < 2000; i++) fprintf(stream, "%s%s%s\n", (char *)text, (char *)text, (char *)text);
	return 0;
}

static void *allocate(void *unused)
{
	void *blocks[64] = { 0 };
	for (unsigned i = 0; i < 20000; i++) {
		free(blocks[i % 64]);
		blocks[i % 64] = malloc(i % 5000);
	}
	for (int i = 0; i < 64; i++) free(blocks[i]);
	return unused;
}

/* `early` was opened before the first thread: it has to be locked all the same. */
void streams(FILE *early)
{
	pthread_t threads[4];
	char line[64];
	int bad = 0, lines = 0;
	stream = early;
	CHECK(stream != 0);
	if (!stream) return;
	for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, write_lines, i % 2 ? "abcd" : "WXYZ");
	for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
	rewind(stream);
	while (fgets(line, sizeof line, stream)) {
		bad += strcmp(line, "abcdabcdabcd\n") && strcmp(line, "WXYZWXYZWXYZ\n");
		lines++;
	}
	EQUAL(bad, 0);
	EQUAL(lines, 8000);
	fclose(stream);
	for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, allocate, 0);
	for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
}
