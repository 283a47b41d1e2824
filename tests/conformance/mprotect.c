/* mprotect. */
#include "conformance.h"

static char *shared_area;
static atomic_int is_protected, faulted;

static void *write_after(void *unused)
{
	(void)unused;
	/* It is in this CPU's TLB, writable, before. */
	shared_area[1] = 1;
	while (!is_protected) sched_yield();
	faulted = touch(shared_area, 1);
	return 0;
}

static int (*in_memory)(void);

/* Machine code that returns 42. */
static const unsigned char code[] = {
#if defined(__x86_64__)
	0xb8, 42, 0, 0, 0, 0xc3, /* mov eax, 42; ret */
#elif defined(__aarch64__)
	0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6, /* mov w0, #42; ret */
#endif
};

static sigjmp_buf after_fault;
static void *fault_address;

static void on_fault(int signal, siginfo_t *info, void *unused)
{
	(void)unused;
	fault_address = info->si_addr;
	siglongjmp(after_fault, signal);
}

/* What calling it raised, or 0. */
static int execute(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;
	sigaction(SIGSEGV, &action, &old);
	int signal = sigsetjmp(after_fault, 1);
	if (!signal) IS("mprotect, DESCRIPTION: PROT_EXEC", in_memory(), 42);
	sigaction(SIGSEGV, &old, 0);
	return signal;
}

static void execution(void)
{
	char *area = pages(1);
	memcpy(area, code, sizeof code);
	in_memory = (int (*)(void))(uintptr_t)area;
	IS("mprotect, DESCRIPTION: not PROT_EXEC", execute(), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault_address == area);
	SUCCEEDS(mprotect(area, page, PROT_READ | PROT_EXEC));
	__builtin___clear_cache(area, area + sizeof code);
	IS("mprotect, DESCRIPTION: PROT_EXEC", execute(), 0);
	IS("mprotect, DESCRIPTION: not PROT_WRITE", touch(area, 1), SIGSEGV);
	SUCCEEDS(mprotect(area, page, PROT_READ | PROT_WRITE));
	IS("mprotect, DESCRIPTION: not PROT_EXEC", execute(), SIGSEGV);
	SUCCEEDS(munmap(area, page));
}

void check_mprotect(void)
{
	char *area = pages(4);
	memset(area, 'p', 4 * page);
	SUCCEEDS(mprotect(area + page, 2 * page, PROT_READ));
	IS("mprotect, DESCRIPTION: PROT_READ", area[page], 'p');
	IS("mprotect, DESCRIPTION: PROT_READ, write", touch(area + page, 1), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == area + page);
	IS("sigaction, DESCRIPTION: si_code", fault.code, SEGV_ACCERR);
	IS("mprotect, DESCRIPTION: PROT_READ, write", touch(area + 3 * page - 1, 1), SIGSEGV);
	IS("mprotect, DESCRIPTION: whole pages in the range alone", touch(area + page - 1, 1), 0);
	IS("mprotect, DESCRIPTION: whole pages in the range alone", touch(area + 3 * page, 1), 0);
	SUCCEEDS(mprotect(area, 4 * page, PROT_NONE));
	for (int i = 0; i < 4; i++) IS("mprotect, DESCRIPTION: PROT_NONE", touch(area + i * page, 0), SIGSEGV);
	SUCCEEDS(mprotect(area, 4 * page, PROT_READ | PROT_WRITE));
	IS("mprotect, DESCRIPTION: the content stays", area[2 * page], 'p');
	IS("mprotect, DESCRIPTION: PROT_WRITE", touch(area + 2 * page, 1), 0);
	/* A length of no whole pages, and of none. */
	SUCCEEDS(mprotect(area, 1, PROT_READ));
	IS("mprotect, DESCRIPTION: whole pages", touch(area + page - 1, 1), SIGSEGV);
	IS("mprotect, DESCRIPTION: whole pages", touch(area + page, 1), 0);
	SUCCEEDS(mprotect(area, 0, PROT_NONE));
	IS("mprotect, DESCRIPTION: length 0", touch(area, 0), 0);
	/* musl rounds the address down, as to where the pages begin. */
	CHOICE IS("mprotect, pthread-shim: address rounded by musl", mprotect(area + 1, 1, PROT_READ | PROT_WRITE), 0);
	SUCCEEDS(munmap(area + page, page));
	FAILS(mprotect(area, 3 * page, PROT_READ), ENOMEM);
	FAILS(mprotect(area + page, page, PROT_READ), ENOMEM);
	SUCCEEDS(munmap(area, 4 * page));

	/* What the file was not opened for. */
	char path[] = "/tmp/conformance-XXXXXX";
	int other = mkstemp(path);
	SUCCEEDS(ftruncate(other, page));
	int readable = open(path, O_RDONLY);
	area = mmap(0, page, PROT_READ, MAP_SHARED, readable, 0);
	HOLDS("mmap, RETURN VALUE", area != MAP_FAILED);
	FAILS(mprotect(area, page, PROT_READ | PROT_WRITE), EACCES);
	SUCCEEDS(munmap(area, page));
	area = mmap(0, page, PROT_READ, MAP_PRIVATE, readable, 0);
	SUCCEEDS(mprotect(area, page, PROT_READ | PROT_WRITE));
	IS("mprotect, DESCRIPTION: MAP_PRIVATE needs no permission to write", touch(area, 1), 0);
	SUCCEEDS(munmap(area, page));
	close(readable);
	close(other);
	unlink(path);

	/* Once it has returned, it holds for every thread. */
	pthread_t thread;
	shared_area = pages(1);
	SUCCEEDS(pthread_create(&thread, 0, write_after, 0));
	while (!*(volatile char *)(shared_area + 1)) sched_yield();
	SUCCEEDS(mprotect(shared_area, page, PROT_READ));
	is_protected = 1;
	SUCCEEDS(pthread_join(thread, 0));
	IS("mprotect, DESCRIPTION: for all threads", faulted, SIGSEGV);
	SUCCEEDS(munmap(shared_area, page));
	execution();
}
