/* pthread_kill and pthread_sigmask, and what a signal to a thread does to its waits. */
#include "conformance.h"

static atomic_int caught, caught_by;
static sem_t started, gate;
static pthread_mutex_t box_mutex = PTHREAD_MUTEX_INITIALIZER;
static int is_open;

static void catch(int signal)
{
	caught = signal;
	caught_by = gettid();
}

static void *wait_through(void *condition)
{
	pthread_mutex_lock(&box_mutex);
	sem_post(&started);
	while (!is_open) SUCCEEDS(pthread_cond_wait(condition, &box_mutex));
	pthread_mutex_unlock(&box_mutex);
	return 0;
}

static void *report_catcher(void *unused)
{
	(void)unused;
	sem_post(&started);
	take(&gate);
	return (void *)(long)gettid();
}

static void *give_back(void *argument)
{
	return argument;
}

static void kills(void)
{
	pthread_t thread;
	void *tid;
	SUCCEEDS(pthread_kill(pthread_self(), SIGUSR1));
	IS("pthread_kill, DESCRIPTION: delivered before it returns", caught, SIGUSR1);
	IS("pthread_kill, DESCRIPTION: in that thread", caught_by, gettid());

	SUCCEEDS(pthread_create(&thread, 0, report_catcher, 0));
	take(&started);
	caught = caught_by = 0;
	/* No signal is sent, errors are looked for all the same. */
	SUCCEEDS(pthread_kill(thread, 0));
	ERROR(pthread_kill(thread, 1000), EINVAL);
	ERROR(pthread_kill(thread, -1), EINVAL);
	IS("pthread_kill, DESCRIPTION: no signal 0", caught, 0);
	SUCCEEDS(pthread_kill(thread, SIGUSR1));
	while (!caught_by) sched_yield();
	SUCCEEDS(sem_post(&gate));
	SUCCEEDS(pthread_join(thread, &tid));
	IS("pthread_kill, DESCRIPTION: in that thread", caught_by, (long)tid);

	/* A joinable thread that has ended is still a thread (POSIX.1-2024: no ESRCH). */
	SUCCEEDS(pthread_create(&thread, 0, give_back, 0));
	usleep(50000);
	SUCCEEDS(pthread_kill(thread, SIGUSR1));
	SUCCEEDS(pthread_kill(thread, 0));
	SUCCEEDS(pthread_join(thread, 0));

	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	is_open = 0;
	SUCCEEDS(pthread_create(&thread, 0, wait_through, &condition));
	take(&started);
	for (int i = 0; i < 3; i++) {
		usleep(10000);
		SUCCEEDS(pthread_kill(thread, SIGUSR1));
	}
	usleep(20000);
	pthread_mutex_lock(&box_mutex);
	is_open = 1;
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&box_mutex);
	SUCCEEDS(pthread_join(thread, 0));
}

static void *block_all(void *unused)
{
	sigset_t set;
	sigfillset(&set);
	SUCCEEDS(pthread_sigmask(SIG_SETMASK, &set, 0));
	SUCCEEDS(pthread_sigmask(SIG_BLOCK, 0, &set));
	HOLDS("pthread_sigmask, DESCRIPTION: SIGKILL and SIGSTOP are never blocked",
	      !sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP));
	IS("pthread_sigmask, DESCRIPTION: all others are", sigismember(&set, SIGTERM), 1);
	return unused;
}

static void masks(void)
{
	sigset_t set, old, found;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ERROR(pthread_sigmask(99, &set, 0), EINVAL);
	SUCCEEDS(pthread_sigmask(SIG_BLOCK, &set, &old));
	IS("pthread_sigmask, DESCRIPTION: the former mask", sigismember(&old, SIGUSR1), 0);
	in_thread(block_all, 0);
	SUCCEEDS(pthread_sigmask(SIG_BLOCK, 0, &found));
	IS("pthread_sigmask, DESCRIPTION: the calling thread's alone", sigismember(&found, SIGTERM), 0);
	caught = 0;
	SUCCEEDS(raise(SIGUSR1));
	IS("pthread_sigmask, DESCRIPTION: blocked", caught, 0);
	SUCCEEDS(sigpending(&found));
	IS("sigpending, DESCRIPTION", sigismember(&found, SIGUSR1), 1);
	SUCCEEDS(pthread_sigmask(SIG_UNBLOCK, &set, &found));
	IS("pthread_sigmask, DESCRIPTION: delivered before it returns", caught, SIGUSR1);
	IS("pthread_sigmask, DESCRIPTION: the former mask", sigismember(&found, SIGUSR1), 1);
	SUCCEEDS(pthread_sigmask(SIG_BLOCK, &set, 0));
	caught = 0;
	SUCCEEDS(pthread_kill(pthread_self(), SIGUSR1));
	SUCCEEDS(pthread_sigmask(SIG_SETMASK, &old, &set));
	IS("pthread_sigmask, DESCRIPTION: SIG_SETMASK", caught, SIGUSR1);
	/* Without a set `how` means nothing. */
	SUCCEEDS(pthread_sigmask(99, 0, &set));

	/* One that is sent to a blocked thread stays with it. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SUCCEEDS(pthread_sigmask(SIG_BLOCK, &set, &old));
	SUCCEEDS(pthread_kill(pthread_self(), SIGUSR1));
	int signal = 0;
	SUCCEEDS(sigwait(&set, &signal));
	IS("sigwait, DESCRIPTION", signal, SIGUSR1);
	SUCCEEDS(pthread_sigmask(SIG_SETMASK, &old, 0));
}

void check_pthread_kill(void)
{
	struct sigaction old = handle(SIGUSR1, catch);
	sem_init(&started, 0, 0);
	sem_init(&gate, 0, 0);
	kills();
	masks();
	sigaction(SIGUSR1, &old, 0);
}
