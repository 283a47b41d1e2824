/* The first program of the Linux reference machine: mounts what CPython reads, sets up the network
 * if there are drivers for it, then becomes CPython with the arguments that the kernel passed on. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Loads /modules/0, /modules/1 and so on; returns how many there are. */
static int load_modules(void)
{
	for (int number = 0;; number++) {
		char path[32];
		snprintf(path, sizeof path, "/modules/%d", number);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) return number;
		if (syscall(SYS_finit_module, fd, "", 0)) perror(path);
		close(fd);
	}
}

/* Gives an interface an address, unless that is null, and takes it into use. */
static void configure(const char *name, const char *address, const char *mask)
{
	struct ifreq request = {0};
	struct sockaddr_in *to = (struct sockaddr_in *)&request.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	strcpy(request.ifr_name, name);
	if (address) {
		to->sin_family = AF_INET;
		inet_pton(AF_INET, address, &to->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &request)) perror(name);
		inet_pton(AF_INET, mask, &to->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &request)) perror(name);
	}
	request.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request)) perror(name);
	close(fd);
}

int main(int argc, char **argv)
{
	(void)argc;
	if (mount("proc", "/proc", "proc", 0, "") || mount("sysfs", "/sys", "sysfs", 0, "")
	    || mount("devtmpfs", "/dev", "devtmpfs", 0, "") || mount("tmpfs", "/tmp", "tmpfs", 0, ""))
		perror("mount");
	if (load_modules()) {
		configure("lo", NULL, NULL);
		/* What DHCP in QEMU's user network would give. */
		configure("eth0", "10.0.2.15", "255.255.255.0");
	}
	setenv("HOME", "/", 1);
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "dumb", 1);
	argv[0] = "/usr/bin/python3";
	execv(argv[0], argv);
	perror(argv[0]);
	return 127;
}
