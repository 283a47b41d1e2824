/* pthread_atfork, and fork with it; on the machine, where one process is all there is, fork says so. */
#include <spawn.h>
#include <sys/wait.h>

#include "conformance.h"

static int order, is_child;

static void prepare_first(void) { order = order * 10 + 1; }
static void prepare_last(void) { order = order * 10 + 2; }
static void parent_first(void) { order = order * 10 + 3; }
static void parent_last(void) { order = order * 10 + 4; }
static void child_first(void) { order = order * 10 + 5; }
static void child_last(void) { order = order * 10 + 6; is_child = 1; }

void check_pthread_atfork(void)
{
	SUCCEEDS(pthread_atfork(prepare_first, parent_first, child_first));
	SUCCEEDS(pthread_atfork(0, 0, 0));
	SUCCEEDS(pthread_atfork(prepare_last, parent_last, child_last));
	pid_t child = 0;
	char *arguments[] = { "true", 0 };
	if (MACHINE) {
		FAILS(fork(), ENOSYS);
		FAILS(vfork(), ENOSYS);
		ERROR(posix_spawn(&child, "/bin/true", 0, 0, arguments, 0), ENOSYS);
		/* The handlers that undo what the first did run as well; vfork has none. */
		IS("pthread_atfork, DESCRIPTION: order", order, 2134);
		return;
	}
	fflush(stdout);
	order = 0;
	child = fork();
	/* `prepare` backwards, the others in the order of registration. */
	if (!child) _exit(is_child && order == 2156 ? 0 : 1);
	HOLDS("fork, RETURN VALUE", child > 0);
	IS("pthread_atfork, DESCRIPTION: order in the parent", order, 2134);
	int status = -1;
	IS("waitpid, RETURN VALUE", waitpid(child, &status, 0), child);
	IS("pthread_atfork, DESCRIPTION: order in the child", status, 0);
	/* No handlers for this one, which POSIX has no longer. */
	child = vfork();
	if (!child) _exit(3);
	HOLDS("vfork, Linux", child > 0);
	IS("waitpid, RETURN VALUE", waitpid(child, &status, 0), child);
	IS("vfork, Linux: the child's status", WEXITSTATUS(status), 3);
	IS("vfork, Linux: no handlers", order, 2134);
	SUCCEEDS(posix_spawn(&child, "/bin/true", 0, 0, arguments, 0));
	IS("waitpid, RETURN VALUE", waitpid(child, &status, 0), child);
	IS("posix_spawn, DESCRIPTION: the child's status", status, 0);
}
