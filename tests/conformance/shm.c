/* shm_open, shm_unlink: musl's, over files below /dev/shm. */
#include "conformance.h"

#define NAME "/pythonos-conformance-memory"

static void refuse(const char *name, int flags, int error, const char *label)
{
	errno = 0;
	IS("shm_open, RETURN VALUE", shm_open(name, flags, 0600), -1);
	IS(label, errno, error);
}

void check_shm(void)
{
	shm_unlink(NAME);
	FAILS(shm_unlink(NAME), ENOENT);
	refuse(NAME, O_RDWR, ENOENT, "shm_open, ERRORS [ENOENT]");
	int first = shm_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0600);
	HOLDS("shm_open, RETURN VALUE", first >= 0);
	if (first < 0) return;
	refuse(NAME, O_RDWR | O_CREAT | O_EXCL, EEXIST, "shm_open, ERRORS [EEXIST]");
	struct stat status;
	SUCCEEDS(fstat(first, &status));
	IS("shm_open, DESCRIPTION: empty", status.st_size, 0);
	HOLDS("shm_open, DESCRIPTION: FD_CLOEXEC", fcntl(first, F_GETFD) & FD_CLOEXEC);
	SUCCEEDS(ftruncate(first, page));
	int second = shm_open(NAME, O_RDONLY, 0);
	HOLDS("shm_open, RETURN VALUE", second >= 0);
	char *writable = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
	char *readable = mmap(0, page, PROT_READ, MAP_SHARED, second, 0);
	HOLDS("mmap, RETURN VALUE", writable != MAP_FAILED && readable != MAP_FAILED);
	IS("shm_open, DESCRIPTION: zero", readable[page - 1], 0);
	writable[3] = 'm';
	IS("shm_open, DESCRIPTION: one object", readable[3], 'm');
	SUCCEEDS(shm_unlink(NAME));
	FAILS(shm_unlink(NAME), ENOENT);
	/* Without a name it lasts as long as what refers to it. */
	close(first);
	close(second);
	writable[4] = 'n';
	IS("shm_unlink, DESCRIPTION: until the last reference", readable[4], 'n');
	/* The name is free for another object. */
	first = shm_open(NAME, O_RDWR | O_CREAT, 0600);
	HOLDS("shm_open, RETURN VALUE", first >= 0);
	SUCCEEDS(fstat(first, &status));
	IS("shm_unlink, DESCRIPTION: another object", status.st_size, 0);
	SUCCEEDS(ftruncate(first, page));
	/* O_TRUNC empties it. */
	second = shm_open(NAME, O_RDWR | O_TRUNC, 0600);
	HOLDS("shm_open, RETURN VALUE", second >= 0);
	SUCCEEDS(fstat(first, &status));
	IS("shm_open, DESCRIPTION: O_TRUNC", status.st_size, 0);
	close(first);
	close(second);
	SUCCEEDS(shm_unlink(NAME));
	SUCCEEDS(munmap(writable, page));
	SUCCEEDS(munmap(readable, page));
}
