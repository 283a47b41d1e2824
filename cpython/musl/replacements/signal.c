/* musl hands the kernel the address of a trampoline that leaves a signal handler
 * by a system call. Here handlers are plain C calls that return; the address is
 * stored with the action and never called. */

__attribute__((__visibility__("hidden")))
void __restore(void)
{
	__builtin_trap();
}

__attribute__((__visibility__("hidden")))
void __restore_rt(void)
{
	__builtin_trap();
}
