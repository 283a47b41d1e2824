/* Every function of <pthread.h>, <semaphore.h> and <threads.h>, and the error numbers
 * POSIX.1-2024 gives them, through musl's headers; and that registers stay a thread's own.
 * Prints one line per failed check, then `N checks, M failed`; exits with 1 if there were any.
 * An argument chooses one group, or `all`.
 *
 * Where POSIX leaves a choice ("may fail"), the check states what pthread-shim chose. */
#include "conformance.h"

static atomic_int checks, failures;

void check(int good, const char *what, const char *file, int line)
{
	checks++;
	if (good) return;
	failures++;
	printf("%s:%d: %s\n", file, line, what);
}

void equal(long found, long expected, const char *what, const char *file, int line)
{
	checks++;
	if (found == expected) return;
	failures++;
	printf("%s:%d: %s is %ld, not %ld\n", file, line, what, found, expected);
}

struct timespec in(clockid_t clock, long milliseconds)
{
	struct timespec at;
	clock_gettime(clock, &at);
	at.tv_sec += milliseconds / 1000;
	at.tv_nsec += milliseconds % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) { at.tv_nsec -= 1000000000; at.tv_sec++; }
	return at;
}

long elapsed(struct timespec since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since.tv_sec) * 1000 + (now.tv_nsec - since.tv_nsec) / 1000000;
}

const struct timespec past = { 1, 0 }, before_epoch = { -7, 0 }, no_time = { 1, 1000000000 };

void *in_thread(void *(*routine)(void *), void *argument)
{
	pthread_t thread;
	void *result = 0;
	EQUAL(pthread_create(&thread, 0, routine, argument), 0);
	EQUAL(pthread_join(thread, &result), 0);
	return result;
}

static void forked(void) {}

int main(int argc, char **argv)
{
	FILE *early = tmpfile();
	struct { const char *name; void (*run)(void); } groups[] = {
		{ "threads", threads }, { "attributes", attributes }, { "stacks", stacks },
		{ "thread_local_data", thread_local_data }, { "names_and_scheduling", names_and_scheduling },
		{ "keys", keys }, { "once_only", once_only }, { "mutexes", mutexes }, { "contention", contention },
		{ "conditions", conditions }, { "rwlocks", rwlocks },
		{ "barriers_and_spin_locks", barriers_and_spin_locks }, { "semaphores", semaphores },
		{ "signals", signals }, { "cancellation", cancellation }, { "c11", c11 },
		{ "registers", registers },
	};
	setvbuf(stdout, 0, _IOLBF, 0);
	streams(early);
	EQUAL(pthread_atfork(forked, forked, forked), 0);
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if (argc > 1 && strcmp(argv[1], "all") && strcmp(argv[1], groups[i].name)) continue;
		int before = failures;
		groups[i].run();
		if (failures != before) printf("%s: %d failed\n", groups[i].name, failures - before);
	}
	printf("%d checks, %d failed\n", checks, failures);
	return failures != 0;
}
