/* What musl's own code asks of the threads below it: locks of streams and memory, thread-local data, calls that
 * must be made in all threads at once. No interface of POSIX, but all of them stand on it. */
#include "conformance.h"

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

static void *check_fresh_tls(void *unused)
{
	static _Thread_local int zero, seven = 7;
	(void)unused;
	IS("__set_thread_area, C11: thread-local data begins at zero", zero, 0);
	IS("__set_thread_area, C11: thread-local data begins as written", seven, 7);
	zero = seven = 99;
	errno = 99;
	return 0;
}

static sem_t gate;

static void *report_user(void *unused)
{
	take(&gate);
	(void)unused;
	return (void *)(long)(getuid() == geteuid());
}

/* `early` was opened before the first thread: it has to be locked all the same. */
void check_musl(FILE *early)
{
	pthread_t threads[4];
	char line[64];
	int bad = 0, lines = 0;
	stream = early;
	HOLDS("tmpfile, RETURN VALUE", stream != 0);
	if (!stream) return;
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, write_lines, i % 2 ? "abcd" : "WXYZ"));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
	rewind(stream);
	while (fgets(line, sizeof line, stream)) {
		bad += strcmp(line, "abcdabcdabcd\n") && strcmp(line, "WXYZWXYZWXYZ\n");
		lines++;
	}
	IS("__lock, flockfile DESCRIPTION: a call's output in one piece", bad, 0);
	IS("__lock, flockfile DESCRIPTION: nothing is lost", lines, 8000);
	fclose(stream);
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, allocate, 0));
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_join(threads[i], 0));
	for (int i = 0; i < 40; i++) in_thread(check_fresh_tls, 0);

	/* The ids of the process are those of every thread: musl sets them in each. */
	sem_init(&gate, 0, 0);
	for (int i = 0; i < 4; i++) SUCCEEDS(pthread_create(&threads[i], 0, report_user, 0));
	IS("__synccall, setuid RETURN VALUE", setuid(getuid()), 0);
	for (int i = 0; i < 4; i++) sem_post(&gate);
	for (int i = 0; i < 4; i++) {
		void *same = 0;
		SUCCEEDS(pthread_join(threads[i], &same));
		IS("__synccall, setuid DESCRIPTION: of the process", same, 1);
	}
}
