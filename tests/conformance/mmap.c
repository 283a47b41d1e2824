/* mmap. */
#include "conformance.h"

static void refuse(void *address, size_t length, int protection, int flags, int file, off_t offset, int error, const char *label)
{
	errno = 0;
	HOLDS("mmap, RETURN VALUE: MAP_FAILED", mmap(address, length, protection, flags, file, offset) == MAP_FAILED);
	IS(label, errno, error);
}

static void anonymous(void)
{
	char *area = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
	HOLDS("mmap, RETURN VALUE", area != MAP_FAILED);
	HOLDS("mmap, DESCRIPTION: never address 0", area != 0);
	IS("mmap, DESCRIPTION: page-aligned", (uintptr_t)area % page, 0);
	size_t others = 0;
	for (size_t i = 0; i < 3 * page; i++) others += area[i] != 0;
	IS("mmap, DESCRIPTION: anonymous memory is zero", others, 0);
	memset(area, 'a', 3 * page);
	/* What is used next to it does not change it. */
	char *other = pages(1);
	HOLDS("mmap, DESCRIPTION: apart from other mappings", other + page <= area || other >= area + 3 * page);
	IS("mmap, DESCRIPTION: fresh memory is zero", other[0], 0);
	SUCCEEDS(munmap(other, page));
	/* Freed and taken again: nobody sees what was there. */
	SUCCEEDS(munmap(area, 3 * page));
	area = pages(3);
	others = 0;
	for (size_t i = 0; i < 3 * page; i++) others += area[i] != 0;
	IS("mmap, DESCRIPTION: fresh memory is zero", others, 0);
	SUCCEEDS(munmap(area, 3 * page));
	area = mmap(0, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
	HOLDS("mmap, DESCRIPTION: a length of no whole pages", area != MAP_FAILED);
	IS("mmap, DESCRIPTION: whole pages", touch(area + page - 1, 1), 0);
	SUCCEEDS(munmap(area, 1));
	area = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
	HOLDS("mmap, RETURN VALUE: MAP_SHARED and MAP_ANON", area != MAP_FAILED);
	IS("mmap, DESCRIPTION: anonymous memory is zero", area[page - 1], 0);
	area[page - 1] = 'x';
	IS("mmap, DESCRIPTION", area[page - 1], 'x');
	SUCCEEDS(munmap(area, page));
	area = mmap(0, page, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
	HOLDS("mmap, RETURN VALUE: PROT_NONE", area != MAP_FAILED);
	IS("mmap, DESCRIPTION: PROT_NONE, read", touch(area, 0), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == area);
	IS("sigaction, DESCRIPTION: si_code", fault.code, SEGV_ACCERR);
	IS("mmap, DESCRIPTION: PROT_NONE, write", touch(area, 1), SIGSEGV);
	SUCCEEDS(munmap(area, page));
	area = mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0);
	IS("mmap, DESCRIPTION: PROT_READ, read", touch(area, 0), 0);
	IS("mmap, DESCRIPTION: PROT_READ, write", touch(area + 5, 1), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == area + 5);
	SUCCEEDS(munmap(area, page));
	IS("sigaction, DESCRIPTION: nothing mapped there", touch(area + 7, 0), SIGSEGV);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == area + 7);
	IS("sigaction, DESCRIPTION: si_code", fault.code, SEGV_MAPERR);
}

static void files(void)
{
	char byte = 0;
	int file = file_of(2 * page + 100, 'f');
	char *shared = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *private = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	char *again = mmap(0, page, PROT_READ, MAP_SHARED, file, page);
	HOLDS("mmap, RETURN VALUE", shared != MAP_FAILED && private != MAP_FAILED && again != MAP_FAILED);
	IS("mmap, DESCRIPTION: the file's content", shared[0], 'f');
	IS("mmap, DESCRIPTION: the file's content", private[2 * page + 99], 'f');
	IS("mmap, DESCRIPTION: zeros after the end, to the end of the page", shared[2 * page + 100], 0);
	IS("mmap, DESCRIPTION: zeros after the end, to the end of the page", private[3 * page - 1], 0);

	shared[page + 1] = 's';
	IS("mmap, DESCRIPTION: MAP_SHARED changes the object", again[1], 's');
	IS("pread, RETURN VALUE", pread(file, &byte, 1, page + 1), 1);
	IS("mmap, DESCRIPTION: MAP_SHARED changes the object, for read() too", byte, 's');
	IS("pwrite, RETURN VALUE", pwrite(file, "w", 1, page + 2), 1);
	IS("mmap, DESCRIPTION: write() is seen in MAP_SHARED", shared[page + 2], 'w');
	private[page + 3] = 'p';
	IS("mmap, DESCRIPTION: MAP_PRIVATE does not change the object", shared[page + 3], 'f');
	IS("pread, RETURN VALUE", pread(file, &byte, 1, page + 3), 1);
	IS("mmap, DESCRIPTION: MAP_PRIVATE does not change the object", byte, 'f');
	shared[page + 3] = 'q';
	IS("mmap, DESCRIPTION: a private page that was written is its own", private[page + 3], 'p');

	/* The mapping has a reference of its own. */
	SUCCEEDS(close(file));
	shared[5] = 'c';
	IS("mmap, DESCRIPTION: closing does not unmap", shared[5], 'c');
	SUCCEEDS(munmap(shared, 3 * page));
	SUCCEEDS(munmap(private, 3 * page));
	SUCCEEDS(munmap(again, page));

	file = file_of(10, 'e');
	shared = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	HOLDS("mmap, RETURN VALUE: longer than the object", shared != MAP_FAILED);
	shared[20] = 'z';
	struct stat status;
	SUCCEEDS(fstat(file, &status));
	IS("mmap, DESCRIPTION: writing beyond the end does not grow the object", status.st_size, 10);
	IS("mmap, DESCRIPTION: whole pages beyond the end, read", touch(shared + page, 0), SIGBUS);
	HOLDS("sigaction, DESCRIPTION: si_addr", fault.address == shared + page);
	IS("mmap, DESCRIPTION: whole pages beyond the end, write", touch(shared + 2 * page - 1, 1), SIGBUS);
	SUCCEEDS(ftruncate(file, 2 * page));
	IS("mmap, DESCRIPTION: the object has grown", touch(shared + page, 1), 0);
	SUCCEEDS(ftruncate(file, 0));
	IS("mmap, DESCRIPTION: the object has shrunk", touch(shared, 0), SIGBUS);
	SUCCEEDS(munmap(shared, 2 * page));
	SUCCEEDS(close(file));
}

static void fixed(void)
{
	char *area = pages(4);
	memset(area, 'o', 4 * page);
	char *middle = mmap(area + page, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);
	HOLDS("mmap, DESCRIPTION: MAP_FIXED is exactly there", middle == area + page);
	IS("mmap, DESCRIPTION: MAP_FIXED replaces", middle[0], 0);
	IS("mmap, DESCRIPTION: MAP_FIXED replaces", middle[2 * page - 1], 0);
	IS("mmap, DESCRIPTION: MAP_FIXED leaves what is around", area[page - 1], 'o');
	IS("mmap, DESCRIPTION: MAP_FIXED leaves what is around", area[3 * page], 'o');
	/* With a file, over part of it. */
	int file = file_of(page, 'f');
	middle = mmap(area + 2 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
	HOLDS("mmap, DESCRIPTION: MAP_FIXED is exactly there", middle == area + 2 * page);
	IS("mmap, DESCRIPTION: MAP_FIXED replaces", middle[3], 'f');
	IS("mmap, DESCRIPTION: MAP_FIXED replaces, protection too", touch(middle, 1), SIGSEGV);
	SUCCEEDS(close(file));
	errno = 0;
	HOLDS("mmap, RETURN VALUE: MAP_FAILED",
	      mmap(area, page, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
	IS("mmap, Linux: MAP_FIXED_NOREPLACE [EEXIST]", errno, EEXIST);
	SUCCEEDS(munmap(area, 4 * page));
	middle = mmap(area, page, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED_NOREPLACE, -1, 0);
	HOLDS("mmap, Linux: MAP_FIXED_NOREPLACE", middle == area);
	SUCCEEDS(munmap(area, page));
	refuse(area + 1, page, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0, EINVAL, "mmap, ERRORS [EINVAL]: address and MAP_FIXED");
	/* An address without MAP_FIXED is a wish; taken already, another is found. */
	area = pages(1);
	middle = mmap(area, page, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0);
	HOLDS("mmap, DESCRIPTION: without MAP_FIXED nothing is replaced", middle != area && middle != MAP_FAILED);
	SUCCEEDS(munmap(middle, page));
	SUCCEEDS(munmap(area, page));
}

static void errors(void)
{
	int file = file_of(page, 'f');
	refuse(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0, EINVAL, "mmap, ERRORS [EINVAL]: length 0");
	refuse(0, page, PROT_READ, MAP_ANON, -1, 0, EINVAL, "mmap, ERRORS [EINVAL]: neither shared nor private");
	refuse(0, page, PROT_READ, MAP_PRIVATE, file, 1, EINVAL, "mmap, ERRORS may [EINVAL]: offset");
	refuse(0, page, PROT_READ, MAP_PRIVATE, -1, 0, EBADF, "mmap, ERRORS [EBADF]");
	refuse(0, page, PROT_READ, MAP_PRIVATE, 9999, 0, EBADF, "mmap, ERRORS [EBADF]");
	refuse(0, SIZE_MAX - 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0, ENOMEM, "mmap, ERRORS [ENOMEM]");
	refuse(0, (size_t)1 << 60, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0, ENOMEM, "mmap, ERRORS [ENOMEM]");
	int channel[2];
	SUCCEEDS(pipe(channel));
	refuse(0, page, PROT_READ, MAP_PRIVATE, channel[0], 0, ENODEV, "mmap, ERRORS [ENODEV]");
	/* Not open for reading, which comes before what kind of file it is. */
	refuse(0, page, PROT_READ, MAP_PRIVATE, channel[1], 0, EACCES, "mmap, ERRORS [EACCES]: not open for reading");
	close(channel[0]);
	close(channel[1]);
	int folder = open("/tmp", O_RDONLY | O_DIRECTORY);
	HOLDS("open, RETURN VALUE", folder >= 0);
	refuse(0, page, PROT_READ, MAP_PRIVATE, folder, 0, ENODEV, "mmap, ERRORS [ENODEV]");
	close(folder);

	char path[] = "/tmp/conformance-XXXXXX";
	int other = mkstemp(path);
	SUCCEEDS(ftruncate(other, page));
	int readable = open(path, O_RDONLY), writable = open(path, O_WRONLY);
	HOLDS("open, RETURN VALUE", readable >= 0 && writable >= 0);
	refuse(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, readable, 0, EACCES, "mmap, ERRORS [EACCES]: not open for writing");
	refuse(0, page, PROT_READ, MAP_SHARED, writable, 0, EACCES, "mmap, ERRORS [EACCES]: not open for reading");
	refuse(0, page, PROT_WRITE, MAP_SHARED, writable, 0, EACCES, "mmap, ERRORS [EACCES]: not open for reading");
	refuse(0, page, PROT_READ, MAP_PRIVATE, writable, 0, EACCES, "mmap, ERRORS [EACCES]: not open for reading");
	char *private = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, readable, 0);
	HOLDS("mmap, DESCRIPTION: MAP_PRIVATE needs no permission to write", private != MAP_FAILED);
	IS("mmap, DESCRIPTION: MAP_PRIVATE needs no permission to write", touch(private, 1), 0);
	SUCCEEDS(munmap(private, page));
	close(readable);
	close(writable);
	close(other);
	unlink(path);
	close(file);
}

static void *write_there(void *byte)
{
	*(volatile char *)byte = 't';
	return 0;
}

void check_mmap(void)
{
	anonymous();
	files();
	fixed();
	errors();
	/* Mapped by one thread, it is there for all. */
	char *area = pages(1);
	in_thread(write_there, area + 9);
	IS("mmap, DESCRIPTION: of the process", area[9], 't');
	SUCCEEDS(munmap(area, page));
}
