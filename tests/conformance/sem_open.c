/* sem_open, sem_close, sem_unlink: musl's own code over files and mappings, with the semaphores of whoever is linked. */
#include "conformance.h"

#define NAME "/pythonos-conformance"

static void *post(void *semaphore)
{
	SUCCEEDS(sem_post(semaphore));
	return 0;
}

static sem_t *open_checked(int flags, int value)
{
	sem_t *found = sem_open(NAME, flags, 0600, value);
	HOLDS("sem_open, RETURN VALUE", found != SEM_FAILED);
	return found;
}

static void refuse(const char *name, int flags, unsigned value, int error, const char *label)
{
	errno = 0;
	HOLDS("sem_open, RETURN VALUE", sem_open(name, flags, 0600, value) == SEM_FAILED);
	IS(label, errno, error);
}

void check_sem_open(void)
{
	int value = -1;
	char long_name[NAME_MAX + 10];
	sem_unlink(NAME);
	FAILS(sem_unlink(NAME), ENOENT);
	refuse(NAME, 0, 0, ENOENT, "sem_open, ERRORS [ENOENT]");
	refuse(NAME, O_CREAT, SEM_VALUE_MAX + 1U, EINVAL, "sem_open, ERRORS [EINVAL]");
	memset(long_name, 'x', sizeof long_name);
	long_name[0] = '/';
	long_name[sizeof long_name - 1] = 0;
	refuse(long_name, O_CREAT, 1, ENAMETOOLONG, "sem_open, ERRORS may [ENAMETOOLONG]");
	FAILS(sem_unlink(long_name), ENAMETOOLONG);

	sem_t *first = open_checked(O_CREAT | O_EXCL, 2);
	if (first == SEM_FAILED) return;
	refuse(NAME, O_CREAT | O_EXCL, 2, EEXIST, "sem_open, ERRORS [EEXIST]");
	/* It exists: the value is not looked at, and the address is the same until it is closed. */
	sem_t *second = open_checked(O_CREAT, 7);
	HOLDS("sem_open, DESCRIPTION: the same address again", first == second);
	SUCCEEDS(sem_getvalue(second, &value));
	IS("sem_open, DESCRIPTION: O_CREAT has no effect", value, 2);
	SUCCEEDS(sem_trywait(first));
	SUCCEEDS(sem_trywait(second));
	FAILS(sem_trywait(first), EAGAIN);
	in_thread(post, first);
	SUCCEEDS(sem_wait(second));
	SUCCEEDS(sem_close(second));
	/* Unlinked, it lives until it is closed; the name is free for another. */
	SUCCEEDS(sem_unlink(NAME));
	refuse(NAME, 0, 0, ENOENT, "sem_unlink, DESCRIPTION: the name is gone");
	sem_t *other = open_checked(O_CREAT | O_EXCL, 5);
	HOLDS("sem_unlink, DESCRIPTION: another semaphore", other != first);
	SUCCEEDS(sem_post(first));
	SUCCEEDS(sem_getvalue(first, &value));
	IS("sem_unlink, DESCRIPTION: open ones remain", value, 1);
	SUCCEEDS(sem_getvalue(other, &value));
	IS("sem_open, DESCRIPTION: initial value", value, 5);
	SUCCEEDS(sem_close(first));
	/* Closed and opened again, it has kept its value. */
	SUCCEEDS(sem_trywait(other));
	SUCCEEDS(sem_close(other));
	other = open_checked(0, 0);
	SUCCEEDS(sem_getvalue(other, &value));
	IS("sem_close, DESCRIPTION: the value remains", value, 4);
	SUCCEEDS(sem_close(other));
	SUCCEEDS(sem_unlink(NAME));
}
