/* msync. */
#include "conformance.h"

void check_msync(void)
{
	char byte = 0;
	int file = file_of(2 * page, 'f');
	char *area = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	HOLDS("mmap, RETURN VALUE", area != MAP_FAILED);
	area[page] = 's';
	SUCCEEDS(msync(area, 2 * page, MS_SYNC));
	IS("pread, RETURN VALUE", pread(file, &byte, 1, page), 1);
	IS("msync, DESCRIPTION", byte, 's');
	SUCCEEDS(msync(area, 2 * page, MS_ASYNC));
	SUCCEEDS(msync(area, 2 * page, MS_SYNC | MS_INVALIDATE));
	SUCCEEDS(msync(area + page, 1, MS_SYNC));
	SUCCEEDS(msync(area, 0, MS_SYNC));
	FAILS(msync(area, page, MS_SYNC | MS_ASYNC), EINVAL);
	FAILS(msync(area, page, 0x4000), EINVAL);
	FAILS(msync(area + 1, page, MS_SYNC), EINVAL);

	/* The times of the file are marked by then. */
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct stat status;
	SUCCEEDS(futimens(file, old));
	SUCCEEDS(msync(area, 2 * page, MS_SYNC));
	area[1] = 't';
	SUCCEEDS(msync(area, 2 * page, MS_SYNC));
	SUCCEEDS(fstat(file, &status));
	HOLDS("msync, DESCRIPTION: last data modification", status.st_mtime > 1000);

	/* A private mapping is never written. */
	char *private = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	private[2] = 'p';
	SUCCEEDS(msync(private, page, MS_SYNC));
	IS("pread, RETURN VALUE", pread(file, &byte, 1, 2), 1);
	IS("msync, DESCRIPTION: no effect on MAP_PRIVATE", byte, 'f');
	SUCCEEDS(munmap(private, page));
	private = pages(1);
	SUCCEEDS(msync(private, page, MS_SYNC));
	SUCCEEDS(munmap(private, page));

	SUCCEEDS(mlock(area, page));
	FAILS(msync(area, page, MS_SYNC | MS_INVALIDATE), EBUSY);
	SUCCEEDS(munlock(area, page));
	SUCCEEDS(munmap(area + page, page));
	FAILS(msync(area, 2 * page, MS_SYNC), ENOMEM);
	FAILS(msync(area + page, page, MS_ASYNC), ENOMEM);
	SUCCEEDS(munmap(area, page));
	close(file);
}
