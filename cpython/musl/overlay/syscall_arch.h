/* Replaces arch/<arch>/syscall_arch.h of musl: found first in the include path.
 *
 * Every system call of musl becomes a call of one C function, which the kernel
 * provides (a function call, as there is no user mode). VDSO_USEFUL stays
 * undefined: the kernel's clock_gettime needs no detour through a vDSO.
 */

__attribute__((__visibility__("hidden")))
long kernel_syscall(long n, long a, long b, long c, long d, long e, long f);

#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)

static inline long __syscall0(long n)
{
	return kernel_syscall(n, 0, 0, 0, 0, 0, 0);
}

static inline long __syscall1(long n, long a)
{
	return kernel_syscall(n, a, 0, 0, 0, 0, 0);
}

static inline long __syscall2(long n, long a, long b)
{
	return kernel_syscall(n, a, b, 0, 0, 0, 0);
}

static inline long __syscall3(long n, long a, long b, long c)
{
	return kernel_syscall(n, a, b, c, 0, 0, 0);
}

static inline long __syscall4(long n, long a, long b, long c, long d)
{
	return kernel_syscall(n, a, b, c, d, 0, 0);
}

static inline long __syscall5(long n, long a, long b, long c, long d, long e)
{
	return kernel_syscall(n, a, b, c, d, e, 0);
}

static inline long __syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	return kernel_syscall(n, a, b, c, d, e, f);
}

#define IPC_64 0
