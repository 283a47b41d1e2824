/* posix_madvise, and Linux's madvise. */
#include "conformance.h"

void check_madvise(void)
{
	char *area = pages(4);
	memset(area, 'a', 4 * page);
	static const int advice[] = {
		POSIX_MADV_NORMAL, POSIX_MADV_RANDOM, POSIX_MADV_SEQUENTIAL, POSIX_MADV_WILLNEED, POSIX_MADV_DONTNEED,
	};
	for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) SUCCEEDS(posix_madvise(area, 4 * page, advice[i]));
	IS("posix_madvise, DESCRIPTION: no effect on the semantics", area[3 * page], 'a');
	ERROR(posix_madvise(area, page, 9999), EINVAL);
	SUCCEEDS(posix_madvise(area, 0, POSIX_MADV_NORMAL));

	SUCCEEDS(madvise(area + page, page, MADV_DONTNEED));
	IS("madvise, Linux: MADV_DONTNEED gives zeros", area[page], 0);
	IS("madvise, Linux: MADV_DONTNEED, the range alone", area[page - 1], 'a');
	IS("madvise, Linux: MADV_DONTNEED, the range alone", area[2 * page], 'a');
	SUCCEEDS(madvise(area + 2 * page, page, MADV_FREE));
	HOLDS("madvise, Linux: MADV_FREE gives zeros or what was there", area[2 * page] == 0 || area[2 * page] == 'a');
	area[2 * page] = 'b';
	IS("madvise, Linux: MADV_FREE, written again", area[2 * page], 'b');
	SUCCEEDS(madvise(area, 4 * page, MADV_WILLNEED));
	FAILS(madvise(area, page, 9999), EINVAL);
	FAILS(madvise(area + 1, page, MADV_DONTNEED), EINVAL);
	SUCCEEDS(madvise(area, 0, MADV_DONTNEED));
	SUCCEEDS(munmap(area + 2 * page, page));
	FAILS(madvise(area, 4 * page, MADV_DONTNEED), ENOMEM);
	ERROR(posix_madvise(area, 4 * page, POSIX_MADV_WILLNEED), ENOMEM);
	/* What is mapped of it has been dealt with all the same. */
	IS("madvise, Linux: up to the hole and behind it", area[3 * page], 0);
	SUCCEEDS(munmap(area, 4 * page));

	/* Of a file: the next touch gives its content. */
	int file = file_of(page, 'f');
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	area[0] = 'x';
	SUCCEEDS(madvise(area, page, MADV_DONTNEED));
	IS("madvise, Linux: MADV_DONTNEED of a private mapping gives the file's content", area[0], 'f');
	FAILS(madvise(area, page, MADV_FREE), EINVAL);
	SUCCEEDS(munmap(area, page));
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	area[0] = 'y';
	SUCCEEDS(madvise(area, page, MADV_DONTNEED));
	IS("madvise, Linux: MADV_DONTNEED of a shared mapping loses nothing", area[0], 'y');
	SUCCEEDS(munmap(area, page));
	close(file);
}
