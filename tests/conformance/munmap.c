/* munmap. */
#include "conformance.h"

static char *shared_area;
static atomic_int has_read, unmapped, faulted;

static void *read_after(void *unused)
{
	(void)unused;
	/* It is in this CPU's TLB before. */
	(void)*(volatile char *)shared_area;
	has_read = 1;
	while (!unmapped) sched_yield();
	faulted = touch(shared_area, 0);
	return 0;
}

void check_munmap(void)
{
	char *area = pages(5);
	memset(area, 'm', 5 * page);
	/* From the middle: what is left on both sides stays. */
	SUCCEEDS(munmap(area + 2 * page, page));
	IS("munmap, DESCRIPTION: SIGSEGV", touch(area + 2 * page, 0), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == area + 2 * page);
	IS("munmap, DESCRIPTION: SIGSEGV", touch(area + 3 * page - 1, 1), SIGSEGV);
	IS("munmap, DESCRIPTION: whole pages in the range alone", area[2 * page - 1], 'm');
	IS("munmap, DESCRIPTION: whole pages in the range alone", area[3 * page], 'm');
	/* A range that holds nothing, or partly nothing, is no error. */
	SUCCEEDS(munmap(area + 2 * page, page));
	SUCCEEDS(munmap(area + page, 3 * page));
	IS("munmap, DESCRIPTION: over a hole", touch(area + page, 0), SIGSEGV);
	IS("munmap, DESCRIPTION: over a hole", touch(area + 3 * page, 0), SIGSEGV);
	IS("munmap, DESCRIPTION: whole pages in the range alone", area[4 * page], 'm');
	IS("munmap, DESCRIPTION: whole pages in the range alone", area[page - 1], 'm');
	/* A length of no whole pages is rounded up. */
	SUCCEEDS(munmap(area + 4 * page, 1));
	IS("munmap, DESCRIPTION: whole pages", touch(area + 5 * page - 1, 0), SIGSEGV);
	FAILS(munmap(area, 0), EINVAL);
	FAILS(munmap(area + 1, page), EINVAL);
	FAILS(munmap(area, SIZE_MAX - page), EINVAL);
	IS("munmap, ERRORS: nothing removed", area[0], 'm');
	SUCCEEDS(munmap(area, page));

	/* A private mapping's changes go with it. */
	int file = file_of(page, 'f');
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	area[0] = 'x';
	SUCCEEDS(munmap(area, page));
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	IS("munmap, DESCRIPTION: private changes are discarded", area[0], 'f');
	SUCCEEDS(munmap(area, page));
	/* A shared one's stay with the object. */
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	area[0] = 'y';
	SUCCEEDS(munmap(area, page));
	char byte = 0;
	IS("pread, RETURN VALUE", pread(file, &byte, 1, 0), 1);
	IS("munmap, DESCRIPTION: shared changes stay", byte, 'y');
	close(file);

	/* Once it has returned, it is gone for every thread. */
	pthread_t thread;
	shared_area = pages(1);
	for (int round = 0; round < 2; round++) {
		shared_area[0] = 1;
		has_read = unmapped = faulted = 0;
		SUCCEEDS(pthread_create(&thread, 0, read_after, 0));
		while (!has_read) sched_yield();
		SUCCEEDS(munmap(shared_area, page));
		unmapped = 1;
		SUCCEEDS(pthread_join(thread, 0));
		IS("munmap, DESCRIPTION: for all threads", faulted, SIGSEGV);
		shared_area = pages(1);
	}
	SUCCEEDS(munmap(shared_area, page));
}
