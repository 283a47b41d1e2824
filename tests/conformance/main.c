/* What POSIX.1-2024 demands of threads, semaphores, mappings and clocks, through musl's headers: one file an
 * interface or family of interfaces, each check labelled with the section it comes from.
 *
 * The same sources are linked three times: with musl's own threads on Linux, which checks the checks; with
 * pthread-shim on Linux; and with pthread-shim in the kernel, on the machine (tests/harness/hosted.py).
 *
 * Prints one line per failed check, then `N checks, M failed`; exits with 1 if there were any. Arguments choose
 * groups, or `all`; after `interfaces` it prints how long each group took, and how many checks each interface had in which file. */
#include "conformance.h"

#define SLOTS 1024 /* more than twice the interfaces */

static atomic_int checks, failures;
/* Found by hash, taken for good by the first that asks: no lock, so that a check may be cancelled. */
static struct { _Atomic(const char *) label; const char *file; atomic_int checks; } interfaces[SLOTS];

static size_t name_length(const char *label)
{
	return strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static const char *base_name(const char *file)
{
	const char *slash = strrchr(file, '/');
	return slash ? slash + 1 : file;
}

static void count(const char *label, const char *file)
{
	size_t length = name_length(label);
	unsigned slot = 5381;
	for (size_t i = 0; i < length; i++) slot = slot * 33 + (unsigned char)label[i];
	for (const char *at = file; *at; at++) slot = slot * 33 + (unsigned char)*at;
	for (slot %= SLOTS;; slot = (slot + 1) % SLOTS) {
		const char *found = interfaces[slot].label;
		if (!found) {
			const char *free = 0;
			if (atomic_compare_exchange_strong(&interfaces[slot].label, &free, label)) {
				found = label;
				interfaces[slot].file = file;
			} else {
				found = free;
			}
		}
		/* One that was taken this moment may not name its file yet: then the label is counted twice. */
		const char *taken = interfaces[slot].file;
		if (name_length(found) == length && !memcmp(found, label, length) && taken && !strcmp(taken, file)) break;
	}
	interfaces[slot].checks++;
}

static void report(const char *label, const char *section, const char *file, int line)
{
	/* The label is a text `interface, SECTION`, or that of a call with the section apart. */
	int length = *section ? (int)name_length(label) : (int)strlen(label);
	printf("%s:%d: %.*s%s: ", base_name(file), line, length, label, section);
}

void check(int good, const char *label, const char *section, const char *what, const char *file, int line)
{
	checks++;
	count(label, file);
	if (good) return;
	failures++;
	flockfile(stdout);
	report(label, section, file, line);
	printf("%s\n", what);
	funlockfile(stdout);
}

void equal(long found, long expected, const char *label, const char *section, const char *what, const char *file, int line)
{
	checks++;
	count(label, file);
	if (found == expected) return;
	failures++;
	flockfile(stdout);
	report(label, section, file, line);
	printf("%s is %ld, not %ld\n", what, found, expected);
	funlockfile(stdout);
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

int64_t between(struct timespec a, struct timespec b)
{
	return (int64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (b.tv_nsec - a.tv_nsec);
}

long elapsed(struct timespec since)
{
	return between(since, in(CLOCK_MONOTONIC, 0)) / 1000000;
}

const struct timespec past = { 1, 0 }, before_epoch = { -7, 0 };
const struct timespec no_time = { 1, 1000000000 }, negative_time = { 1, -1 };

void *in_thread(void *(*routine)(void *), void *argument)
{
	pthread_t thread;
	void *result = 0;
	SUCCEEDS(pthread_create(&thread, 0, routine, argument));
	SUCCEEDS(pthread_join(thread, &result));
	return result;
}

void take(sem_t *semaphore)
{
	while (sem_wait(semaphore)) {}
}

struct sigaction handle(int signal, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler }, old;
	sigaction(signal, &action, &old);
	return old;
}

static sigjmp_buf after_fault;
struct fault fault;

static void on_fault(int signal, siginfo_t *info, void *unused)
{
	(void)unused;
	fault = (struct fault) { info->si_addr, info->si_code };
	siglongjmp(after_fault, signal);
}

int touch(volatile char *address, int writes)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, segv, bus;
	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	int signal = sigsetjmp(after_fault, 1);
	if (!signal) {
		if (writes) *address = 1;
		else (void)*address;
	}
	sigaction(SIGSEGV, &segv, 0);
	sigaction(SIGBUS, &bus, 0);
	return signal;
}

size_t page;

int file_of(size_t length, int fill)
{
	char name[] = "/tmp/conformance-XXXXXX";
	int file = mkstemp(name);
	char *content = malloc(length + 1);
	memset(content, fill, length);
	HOLDS("mkstemp, RETURN VALUE", file >= 0);
	IS("write, RETURN VALUE", write(file, content, length), length);
	unlink(name);
	free(content);
	return file;
}

char *pages(size_t count)
{
	char *found = mmap(0, count * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	HOLDS("mmap, RETURN VALUE", found != MAP_FAILED);
	return found;
}

static const struct { const char *name; void (*run)(void); } groups[] = {
#define GROUP(name) { #name, check_##name },
	GROUPS(GROUP)
};

int main(int argc, char **argv)
{
	int lists = argc > 1 && !strcmp(argv[1], "interfaces");
	const char *chosen = argc > 1 + lists ? argv[1 + lists] : "all";
	FILE *early = tmpfile();
	page = sysconf(_SC_PAGESIZE);
	setvbuf(stdout, 0, _IOLBF, 0);
	/* First: it is about what happens before the first thread starts. */
	check_musl(early);
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if (strcmp(chosen, "all") && strcmp(chosen, groups[i].name)) continue;
		int before = failures;
		struct timespec start = in(CLOCK_MONOTONIC, 0);
		groups[i].run();
		if (lists) printf("group %s %ld ms\n", groups[i].name, elapsed(start));
		if (failures != before) printf("%s: %d failed\n", groups[i].name, failures - before);
	}
	for (int i = 0; lists && i < SLOTS; i++) {
		if (!interfaces[i].label) continue;
		int length = name_length(interfaces[i].label);
		printf("interface %.*s %s %d\n", length, interfaces[i].label, base_name(interfaces[i].file), interfaces[i].checks);
	}
	printf("%d checks, %d failed\n", checks, failures);
	return failures != 0;
}
