/*
 * Lets user-mode-linux of Linux 6.1 run on processors with AMX. It has room for 2696 bytes of extended processor state
 * and hands ptrace(2) just that many back; a kernel that knows AMX has 11008 and refuses less (EFAULT, "ptrace set fp
 * regs failed"). Linux 6.14 asks for the size. Preloaded into linux.uml, this fills up what is missing: the state of
 * features that lie beyond the guest's room goes back to what it is in a new process. The guest has none of them.
 *
 * The layout is that of the Intel SDM, volume 1, 13.4: XSTATE_BV is at offset 512; CPUID leaf 0Dh has each feature's
 * place.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { XSTATE_MAX = 65536, XSTATE_BV = 512, GUEST_MIN = 576 };

/* The features that lie within the first `room` bytes. */
static uint64_t features_within(size_t room)
{
	uint64_t features = 3;
	for (unsigned feature = 2; feature < 63; feature++) {
		unsigned size, offset, flags, unused;
		if (__get_cpuid_count(0xd, feature, &size, &offset, &flags, &unused) && size > 0 && !(flags & 1) &&
		    (size_t)offset + size <= room)
			features |= 1ull << feature;
	}
	return features;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long pid = va_arg(arguments, long);
	void *address = va_arg(arguments, void *), *data = va_arg(arguments, void *);
	va_end(arguments);

	struct iovec *guest = data;
	if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || (long)address != NT_X86_XSTATE ||
	    guest->iov_len < GUEST_MIN) {
		/* The call itself stores the word of these three at `data`; the function returns it. */
		long word = 0;
		int peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
		long result = syscall(SYS_ptrace, request, pid, address, peeks ? &word : data);
		if (peeks && result == 0)
			errno = 0;
		return peeks && result == 0 ? word : result;
	}

	static unsigned char whole[XSTATE_MAX];
	struct iovec host = { whole, sizeof whole };
	if (request == PTRACE_GETREGSET) {
		if (syscall(SYS_ptrace, request, pid, address, &host) < 0)
			return -1;
		if (guest->iov_len > host.iov_len)
			guest->iov_len = host.iov_len;
		memcpy(guest->iov_base, whole, guest->iov_len);
		return 0;
	}
	static size_t host_size;
	static uint64_t features;
	if (host_size == 0) {
		if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &host) < 0)
			return -1;
		host_size = host.iov_len;
		features = features_within(guest->iov_len);
	}
	if (guest->iov_len >= host_size)
		return syscall(SYS_ptrace, request, pid, address, data);
	memset(whole, 0, host_size);
	memcpy(whole, guest->iov_base, guest->iov_len);
	uint64_t present;
	memcpy(&present, whole + XSTATE_BV, sizeof present);
	present &= features;
	memcpy(whole + XSTATE_BV, &present, sizeof present);
	host.iov_len = host_size;
	return syscall(SYS_ptrace, request, pid, address, &host);
}
