/* What the reference needs beside libpython and musl: a main, and the timed wait that
 * CPython was told is there (cpython/config.site). */
#include <semaphore.h>
#include <time.h>

int Py_BytesMain(int argc, char **argv);

int main(int argc, char **argv)
{
	return Py_BytesMain(argc, argv);
}

/* The deadline moves over to the clock that musl's sem_timedwait knows. */

int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict deadline);

int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict deadline)
{
	struct timespec now, real;
	if (clock == CLOCK_REALTIME) return sem_timedwait(sem, deadline);
	if (clock_gettime(clock, &now) || clock_gettime(CLOCK_REALTIME, &real)) return -1;
	real.tv_sec += deadline->tv_sec - now.tv_sec;
	real.tv_nsec += deadline->tv_nsec - now.tv_nsec;
	if (real.tv_nsec >= 1000000000) { real.tv_nsec -= 1000000000; real.tv_sec++; }
	if (real.tv_nsec < 0) { real.tv_nsec += 1000000000; real.tv_sec--; }
	return sem_timedwait(sem, &real);
}
