/* What musl's src/process and clone.s would trap for: there are no processes
 * on this system, so each fails with ENOSYS as on a kernel built without them. */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

pid_t fork(void)
{
	errno = ENOSYS;
	return -1;
}

pid_t _Fork(void)
{
	errno = ENOSYS;
	return -1;
}

pid_t vfork(void)
{
	errno = ENOSYS;
	return -1;
}

/* musl's posix_spawn starts its child with this; it returns a negated errno. */
__attribute__((__visibility__("hidden")))
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	(void)function; (void)stack; (void)flags; (void)argument;
	return -ENOSYS;
}
