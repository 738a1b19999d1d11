/*
 * The init of every zone and container of the bench: as little as a program can be, so that what is measured is the
 * tool. Without an argument it waits for ever; with one it says that it runs (one byte on its standard output) and
 * ends when its standard input does.
 */
static long call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

__attribute__((used)) static void begin(long argc)
{
	char byte = 'r';
	if (argc > 1) {
		call(1, 1, (long)&byte, 1);                /* write */
		while (call(0, 0, (long)&byte, 1) > 0) {}  /* read */
		call(231, 0, 0, 0);                        /* exit_group */
	}
	for (;;)
		call(34, 0, 0, 0);                         /* pause */
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov (%rsp), %rdi\n and $-16, %rsp\n call begin\n");
