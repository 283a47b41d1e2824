/* The first program of the Linux reference machine: mounts what CPython reads, then
 * becomes CPython with the arguments that the kernel passed on. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argc;
	if (mount("proc", "/proc", "proc", 0, "") || mount("sysfs", "/sys", "sysfs", 0, "")
	    || mount("devtmpfs", "/dev", "devtmpfs", 0, "") || mount("tmpfs", "/tmp", "tmpfs", 0, ""))
		perror("mount");
	setenv("HOME", "/", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "dumb", 1);
	argv[0] = "/usr/bin/python3";
	execv(argv[0], argv);
	perror(argv[0]);
	return 127;
}
