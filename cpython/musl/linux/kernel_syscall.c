/* Lets programs built against the overlaid musl run on Linux: kernel_syscall
 * that asks the host. Part of the build sysroot's libc.a only (configure's link
 * tests, the reference interpreter), never of the kernel image. */
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <time.h>

long kernel_syscall(long n, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	unsigned long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ __volatile__ ("syscall" : "=a"(result)
		: "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ __volatile__ ("svc 0" : "=r"(x0)
		: "r"(x8), "0"(x0), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
		: "memory", "cc");
	return x0;
#else
#error "no Linux system call sequence for this architecture"
#endif
}

/* The deadline moves over to the clock that musl's sem_timedwait knows. A step
 * of the wall clock shifts it: good enough for a build sysroot, and the reason
 * why the image has pthread-shim's instead. */
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
