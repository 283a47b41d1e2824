/* mremap: Linux's. */
#include "conformance.h"

static char *moved(char *old, size_t old_pages, size_t new_pages, int flags)
{
	errno = 0;
	return mremap(old, old_pages * page, new_pages * page, flags);
}

static void refuse(char *old, size_t old_length, size_t new_length, int flags, int error, const char *label)
{
	errno = 0;
	HOLDS("mremap, Linux: MAP_FAILED", mremap(old, old_length, new_length, flags, old) == MAP_FAILED);
	IS(label, errno, error);
}

void check_mremap(void)
{
	char *area = pages(4);
	for (int i = 0; i < 4; i++) area[i * page] = 'a' + i;
	/* Shrinks where it is. */
	HOLDS("mremap, Linux: shrinks in place", moved(area, 4, 3, 0) == area);
	IS("mremap, Linux: what was cut off is gone", touch(area + 3 * page, 0), SIGSEGV);
	IS("mremap, Linux: the rest stays", area[2 * page], 'c');
	HOLDS("mremap, Linux: the same size", moved(area, 3, 3, 0) == area);
	/* Something lies behind it: it cannot grow there, but elsewhere. */
	char *wall = mmap(area + 3 * page, page, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);
	HOLDS("mmap, DESCRIPTION: MAP_FIXED is exactly there", wall == area + 3 * page);
	refuse(area, 3 * page, 64 * page, 0, ENOMEM, "mremap, Linux: [ENOMEM]");
	IS("mremap, Linux: [ENOMEM] leaves it", area[0], 'a');
	char *larger = moved(area, 3, 64, MREMAP_MAYMOVE);
	HOLDS("mremap, Linux: MREMAP_MAYMOVE", larger != MAP_FAILED && larger != area);
	for (int i = 0; i < 3; i++) IS("mremap, Linux: moves the content", larger[i * page], 'a' + i);
	IS("mremap, Linux: grows by zeros", larger[63 * page], 0);
	IS("mremap, Linux: the old place is free", touch(area, 0), SIGSEGV);
	IS("mremap, Linux: what lay behind stays", touch(wall, 0), 0);
	SUCCEEDS(munmap(wall, page));

	/* To a place that is given, over what is there. */
	char *place = pages(2);
	memset(place, 'z', 2 * page);
	char *there = mremap(larger, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	HOLDS("mremap, Linux: MREMAP_FIXED", there == place);
	IS("mremap, Linux: MREMAP_FIXED moves the content", place[page], 'b');
	IS("mremap, Linux: part of a mapping", touch(larger, 0), SIGSEGV);
	IS("mremap, Linux: part of a mapping", larger[2 * page], 'c');
	SUCCEEDS(munmap(larger + 2 * page, 62 * page));

	refuse(place + 1, page, page, 0, EINVAL, "mremap, Linux: [EINVAL] address");
	refuse(place, page, 0, 0, EINVAL, "mremap, Linux: [EINVAL] length 0");
	refuse(place, page, page, 0x80, EINVAL, "mremap, Linux: [EINVAL] flags");
	refuse(place, page, page, MREMAP_FIXED, EINVAL, "mremap, Linux: [EINVAL] MREMAP_FIXED alone");
	refuse(place, 2 * page, 2 * page, MREMAP_FIXED | MREMAP_MAYMOVE, EINVAL, "mremap, Linux: [EINVAL] overlap");
	SUCCEEDS(munmap(place, 2 * page));
	refuse(place, page, 2 * page, MREMAP_MAYMOVE, EFAULT, "mremap, Linux: [EFAULT]");

	/* Of a file: what it grows by is the file's. */
	int file = file_of(2 * page, 'f');
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	larger = moved(area, 1, 2, MREMAP_MAYMOVE);
	HOLDS("mremap, Linux: of a file", larger != MAP_FAILED);
	IS("mremap, Linux: grows by the file's content", larger[2 * page - 1], 'f');
	SUCCEEDS(munmap(larger, 2 * page));
	close(file);
}
