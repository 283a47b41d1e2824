/* mlock, munlock, mlockall, munlockall, and Linux's mlock2 and mincore, which sees what they did. */
#include "conformance.h"

static int resident(char *area, size_t count)
{
	unsigned char report[8] = { 0 };
	int found = 0;
	SUCCEEDS(mincore(area, count * page, report));
	for (size_t i = 0; i < count; i++) found += report[i] & 1;
	return found;
}

void check_mlock(void)
{
	char *area = pages(4);
	IS("mincore, Linux: untouched", resident(area, 4), 0);
	area[page] = 1;
	IS("mincore, Linux: touched", resident(area, 4), 1);
	SUCCEEDS(mlock(area + 2 * page, page));
	IS("mlock, DESCRIPTION: memory-resident", resident(area + 2 * page, 1), 1);
	/* Bytes of two pages: both. */
	SUCCEEDS(mlock(area + page - 1, 2));
	IS("mlock, DESCRIPTION: whole pages", resident(area, 2), 2);
	SUCCEEDS(munlock(area, 4 * page));
	/* Locks do not add up. */
	SUCCEEDS(mlock(area, page));
	SUCCEEDS(mlock(area, page));
	SUCCEEDS(munlock(area, page));
	IS("munlock, DESCRIPTION: one is enough", madvise(area, page, MADV_DONTNEED), 0);
	SUCCEEDS(mlock(area, page));
	FAILS(madvise(area, page, MADV_DONTNEED), EINVAL);
	/* Unmapping unlocks. */
	SUCCEEDS(munmap(area, page));
	FAILS(mlock(area, 2 * page), ENOMEM);
	FAILS(munlock(area, 2 * page), ENOMEM);
	FAILS(mlock(area, SIZE_MAX - 3 * page), EINVAL);
	SUCCEEDS(mlock(area + page, 0));
	SUCCEEDS(munlock(area + page, 0));

	/* Linux's: locked when they are first touched. */
	SUCCEEDS(mlock2(area + 3 * page, page, MLOCK_ONFAULT));
	IS("mlock2, Linux: MLOCK_ONFAULT", resident(area + 3 * page, 1), 0);
	SUCCEEDS(mlock2(area + 3 * page, page, 0));
	IS("mlock2, Linux", resident(area + 3 * page, 1), 1);
	FAILS(mlock2(area + 3 * page, page, 0x40), EINVAL);
	SUCCEEDS(munlock(area + 3 * page, page));

	FAILS(mincore(area + page + 1, page, (unsigned char *)area), EINVAL);
	unsigned char report[4];
	FAILS(mincore(area, 2 * page, report), ENOMEM);
	SUCCEEDS(munmap(area, 4 * page));

	FAILS(mlockall(0), EINVAL);
	FAILS(mlockall(0x100), EINVAL);
	/* What is mapped from now on is there at once. */
	SUCCEEDS(mlockall(MCL_FUTURE));
	area = pages(2);
	IS("mlockall, DESCRIPTION: MCL_FUTURE", resident(area, 2), 2);
	SUCCEEDS(munlockall());
	char *after = pages(2);
	IS("munlockall, DESCRIPTION: what is mapped later is not", resident(after, 2), 0);
	SUCCEEDS(munmap(after, 2 * page));
	/* All locks are undone: the pages may be dropped. */
	SUCCEEDS(madvise(area, 2 * page, MADV_DONTNEED));
	SUCCEEDS(munmap(area, 2 * page));
}
