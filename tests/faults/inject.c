// Injects one fault into one system call of one of Reeve's processes, by ptrace(2):
//
//     inject [--attach PID:ROLE]... [--role R --call NR --nth N [--path TEXT] [--at exit] (--kill ROLES | --errno E)]
//            [--log FILE] --report FILE --limit MS -- COMMAND...
//
// COMMAND is the controller; what it starts is told apart by how it is started: zoneadmd is executed by it, zsched is cloned
// by zoneadmd into a PID namespace, init is cloned by zsched. The N-th call of that number (-1: of any) of that role, counted
// over its threads, is the one: killed at its entry or exit are all processes of the roles named; or the call is not made
// and answers with the errno. strace counts each thread by itself and cannot tell the roles apart.
//
// The report has a line `hit ROLE NR NTH PATH` when the call came, and `hang` when COMMAND did not end in time. The exit status
// is COMMAND's, as a shell has it. When this program ends, whatever it still traces runs on untraced.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum role { NONE, CONTROLLER, ZONEADMD, ZSCHED, INIT, ROLES };
static const char *const names[ROLES] = {"none", "controller", "zoneadmd", "zsched", "init"};

struct tracee {
    pid_t pid;
    enum role role;
    unsigned long flags; // of the clone under way
    int held;            // stopped before its parent's event said whose child it is
    int at_exit;         // kill at the exit of the call under way
    int fail;            // the call under way is not made: its errno
};

#define MAX 512
static struct tracee tracees[MAX];
static enum role role;
static long call = -1, nth = 1, counts[ROLES][512], totals[ROLES], seen;
static const char *path_wanted;
static int at_exit, kills[ROLES], fails, done, executed;
static FILE *report, *logged;
static pid_t root;
static volatile sig_atomic_t late;

static void die(const char *what) {
    perror(what);
    exit(125);
}

static void on_alarm(int signal) {
    (void)signal;
    late = 1;
}

static struct tracee *find(pid_t pid, int make) {
    struct tracee *spare = NULL;
    for (int i = 0; i < MAX; i++) {
        if (tracees[i].pid == pid) return &tracees[i];
        if (!tracees[i].pid && !spare) spare = &tracees[i];
    }
    if (!make || !spare) return NULL;
    memset(spare, 0, sizeof *spare);
    spare->pid = pid;
    return spare;
}

static enum role role_of(const char *name) {
    for (int i = 1; i < ROLES; i++)
        if (!strcmp(name, names[i])) return i;
    fprintf(stderr, "inject: no role %s\n", name);
    exit(125);
}

// Which argument of a call is a path, or else (100 and up) a descriptor; -1: neither.
static int place(long nr) {
    switch (nr) {
    case SYS_open: case SYS_mkdir: case SYS_unlink: case SYS_rmdir: case SYS_umount2: return 0;
    case SYS_openat: case SYS_openat2: case SYS_mkdirat: case SYS_unlinkat: case SYS_symlink: case SYS_rename:
    case SYS_newfstatat: case SYS_statx: case SYS_readlinkat: case SYS_fchownat: return 1;
    case SYS_symlinkat: return 2;
    case SYS_renameat2: case SYS_renameat: case SYS_move_mount: return 3;
    case SYS_write: case SYS_fsync: case SYS_fdatasync: case SYS_syncfs: case SYS_ftruncate: case SYS_sendmsg: case SYS_sendto:
    case SYS_recvmsg: case SYS_recvfrom: case SYS_read: case SYS_flock: return 100;
    default: return -1;
    }
}

static void path_of(pid_t pid, const struct __ptrace_syscall_info *info, char *text, size_t size) {
    int at = place((long)info->entry.nr);
    text[0] = 0;
    if (at >= 100) {
        char link[64];
        snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, (int)info->entry.args[at - 100]);
        ssize_t length = readlink(link, text, size - 1);
        text[length < 0 ? 0 : length] = 0;
    } else if (at >= 0) {
        // Up to the end of the page, beyond which there may be nothing.
        unsigned long address = info->entry.args[at], length = 4096 - address % 4096;
        for (int turn = 0; turn < 2 && address; turn++, length = size - 1) {
            struct iovec to = {text, length < size - 1 ? length : size - 1}, from = {(void *)address, to.iov_len};
            ssize_t got = process_vm_readv(pid, &to, 1, &from, 1, 0);
            if (got < 0) break;
            text[got] = 0;
            if (strlen(text) < (size_t)got) break;
        }
    }
    for (char *c = text; *c; c++)
        if (*c <= ' ') *c = '_';
}

static void kill_roles(void) {
    for (int r = 1; r < ROLES; r++)
        for (int i = 0; i < MAX; i++)
            if (kills[r] && tracees[i].pid && (int)tracees[i].role == r) kill(tracees[i].pid, SIGKILL);
}

static void entry(struct tracee *t, struct __ptrace_syscall_info *info) {
    long nr = (long)info->entry.nr;
    char path[512] = "";
    if (nr == SYS_clone3) {
        errno = 0;
        t->flags = ptrace(PTRACE_PEEKDATA, t->pid, (void *)info->entry.args[0], 0);
    } else if (nr == SYS_clone) {
        t->flags = info->entry.args[0];
    }
    // What comes before COMMAND is executed is this program's own.
    if (nr < 0 || nr >= 512 || (t->role == CONTROLLER && !executed)) return;
    long of_call = ++counts[t->role][nr], of_any = ++totals[t->role];
    if (logged || (path_wanted && t->role == role && !done)) path_of(t->pid, info, path, sizeof path);
    if (logged) fprintf(logged, "%s %ld %ld %ld %s\n", names[t->role], nr, of_call, of_any, path);
    if (done || t->role != role || (call >= 0 && nr != call)) return;
    if (path_wanted && !strstr(path, path_wanted)) return;
    if (++seen != nth) return;
    done = 1;
    if (!path[0]) path_of(t->pid, info, path, sizeof path);
    fprintf(report, "hit %s %ld %ld %s\n", names[t->role], nr, of_call, path);
    fflush(report);
    if (fails) {
        t->fail = fails;
        if (ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user_regs_struct, orig_rax), -1L)) die("POKEUSER orig_rax");
    } else if (at_exit) {
        t->at_exit = 1;
    } else {
        kill_roles();
    }
}

static void leave(struct tracee *t) {
    if (t->fail && ptrace(PTRACE_POKEUSER, t->pid, offsetof(struct user_regs_struct, rax), (long)-t->fail) && errno != ESRCH)
        die("POKEUSER rax");
    if (t->at_exit) kill_roles();
    t->fail = t->at_exit = 0;
}

static void go_on(struct tracee *t, int signal) {
    int syscalls = logged || t->fail || t->at_exit || (!done && t->role == role) || t->role == ZONEADMD || t->role == CONTROLLER;
    if (done && !logged && !t->fail && !t->at_exit) syscalls = 0;
    ptrace(syscalls ? PTRACE_SYSCALL : PTRACE_CONT, t->pid, 0, (long)signal);
}

static void born(struct tracee *parent, int event) {
    unsigned long pid = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) || !pid) return;
    struct tracee *child = find((pid_t)pid, 1);
    if (!child) return;
    if (event == PTRACE_EVENT_CLONE && (parent->flags & 0x10000)) child->role = parent->role; // CLONE_THREAD
    else if (parent->role == CONTROLLER) child->role = ZONEADMD;
    else if (parent->role == ZONEADMD) child->role = parent->flags & 0x20000000 ? ZSCHED : ZONEADMD; // CLONE_NEWPID
    else child->role = INIT;
    if (child->held) {
        child->held = 0;
        go_on(child, 0);
    }
}

static void stopped(pid_t pid, int status) {
    struct tracee *t = find(pid, 1);
    if (!t) die("too many processes");
    int signal = WSTOPSIG(status), event = status >> 16;
    if (t->role == NONE) {
        t->held = 1;
        return;
    }
    if (event == PTRACE_EVENT_EXEC && t->role == CONTROLLER) executed = 1;
    if (event == PTRACE_EVENT_EXEC && t->role == INIT) {
        ptrace(PTRACE_DETACH, pid, 0, 0);
        t->pid = 0;
        return;
    }
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) born(t, event);
    if (event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)) {
        ptrace(PTRACE_LISTEN, pid, 0, 0);
        return;
    }
    if (signal == (SIGTRAP | 0x80)) {
        struct __ptrace_syscall_info info;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0) {
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY) entry(t, &info);
            else if (info.op == PTRACE_SYSCALL_INFO_EXIT) leave(t);
        }
        signal = 0;
    } else if (event) {
        signal = 0;
    }
    go_on(t, signal);
}

static const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;

static void attach(const char *text) {
    char *end;
    pid_t pid = (pid_t)strtol(text, &end, 10);
    if (ptrace(PTRACE_SEIZE, pid, 0, options)) die("PTRACE_SEIZE");
    find(pid, 1)->role = role_of(end + 1);
    if (ptrace(PTRACE_INTERRUPT, pid, 0, 0)) die("PTRACE_INTERRUPT");
}

static void start(char **command) {
    int gate[2];
    if (pipe2(gate, O_CLOEXEC)) die("pipe2");
    root = fork();
    if (root < 0) die("fork");
    if (!root) {
        char byte;
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1) _exit(125);
        execv(command[0], command);
        die(command[0]);
    }
    if (ptrace(PTRACE_SEIZE, root, 0, options)) die("PTRACE_SEIZE");
    find(root, 1)->role = CONTROLLER;
    if (ptrace(PTRACE_INTERRUPT, root, 0, 0)) die("PTRACE_INTERRUPT");
    if (write(gate[1], "x", 1) != 1) die("write");
    close(gate[0]);
    close(gate[1]);
}

static int trace(void) {
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (late) {
            fprintf(report, "hang\n");
            kill(root, SIGKILL);
            return 124;
        }
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return 125;
        if (WIFSTOPPED(status)) {
            stopped(pid, status);
            continue;
        }
        struct tracee *t = find(pid, 0);
        if (t) t->pid = 0;
        if (pid == root) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

int main(int argc, char **argv) {
    long limit = 20000;
    const char *attached[16];
    int count = 0, i;
    for (i = 1; i + 1 < argc && strcmp(argv[i], "--"); i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--attach") && count < 16) attached[count++] = value;
        else if (!strcmp(name, "--role")) role = role_of(value);
        else if (!strcmp(name, "--call")) call = atol(value);
        else if (!strcmp(name, "--nth")) nth = atol(value);
        else if (!strcmp(name, "--path")) path_wanted = value;
        else if (!strcmp(name, "--at")) at_exit = !strcmp(value, "exit");
        else if (!strcmp(name, "--errno")) fails = atoi(value);
        else if (!strcmp(name, "--limit")) limit = atol(value);
        else if (!strcmp(name, "--report")) report = fopen(value, "we");
        else if (!strcmp(name, "--log")) logged = fopen(value, "we");
        else if (!strcmp(name, "--kill")) {
            char *copy = strdup(value), *rest = copy, *word;
            while ((word = strsep(&rest, ","))) kills[role_of(word)] = 1;
        } else {
            fprintf(stderr, "inject: no option %s\n", name);
            return 125;
        }
    }
    if (i + 1 >= argc || !report) return fprintf(stderr, "inject: no command or no report\n"), 125;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {limit / 1000, limit % 1000 * 1000}};
    for (int n = 0; n < count; n++) attach(attached[n]);
    start(argv + i + 1);
    setitimer(ITIMER_REAL, &timer, NULL);
    return trace();
}
