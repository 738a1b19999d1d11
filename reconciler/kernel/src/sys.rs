//! The system calls that no library wraps, and the only file of Reeve that may hold `unsafe`. Each block names the
//! invariant that makes it sound. Wrappers keep the manual's names; they decide nothing.
#![allow(unsafe_code, reason = "this is the one file that may")]

use crate::error::{Context, Error, Result};
use libc::{c_char, c_int, c_long, c_void};
use rustix::io::Errno;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "Reeve knows only x86_64 so far: clone3 on a stack of its own and the seccomp filter are per architecture"
);

/// Flags of clone3(2), setns(2) and unshare(2), by the manual's names without `CLONE_`.
pub mod flags {
    /// New mount namespace.
    pub const NEWNS: u64 = libc::CLONE_NEWNS as u64;
    /// New UTS namespace.
    pub const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
    /// New IPC namespace.
    pub const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
    /// New user namespace.
    pub const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
    /// New PID namespace for the child.
    pub const NEWPID: u64 = libc::CLONE_NEWPID as u64;
    /// New network namespace.
    pub const NEWNET: u64 = libc::CLONE_NEWNET as u64;
    /// New cgroup namespace.
    pub const NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    /// Root, current folder and umask of its own for the calling thread.
    pub const FS: u64 = libc::CLONE_FS as u64;
    pub(super) const VM: u64 = libc::CLONE_VM as u64;
    pub(super) const VFORK: u64 = libc::CLONE_VFORK as u64;
    pub(super) const PIDFD: u64 = libc::CLONE_PIDFD as u64;
    pub(super) const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    pub(super) const INTO_CGROUP: u64 = 0x2_0000_0000;
}

/// `struct clone_args` of clone3(2), version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child just made: its process ID in the caller's PID namespace and a descriptor that names it for good.
#[derive(Debug)]
pub struct Child {
    /// Process ID as the caller sees it.
    pub pid: i32,
    /// pidfd of the child, close-on-exec.
    pub pidfd: OwnedFd,
}

/// Which side of [`fork`] the caller is on.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one.
    Parent(Child),
}

fn clone_args(flags: u64, cgroup: Option<BorrowedFd<'_>>, pidfd: &mut c_int) -> CloneArgs {
    let mut args = CloneArgs {
        flags: flags | flags::PIDFD,
        pidfd: ptr::from_mut(pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= flags::INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    args
}

/// clone3(2) as fork(2) with `flags`, the child born in `cgroup` when one is given.
///
/// Only for processes with one thread: the child goes on with a copy of the whole address space.
///
/// # Errors
/// The errno of clone3(2); EBUSY where the cgroup may hold no processes, EPERM without the needed capability.
pub fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    let mut pidfd: c_int = -1;
    let args = clone_args(flags, cgroup, &mut pidfd);
    // SAFETY: `args` is a clone_args of the size given and outlives the call; without CLONE_VM the child has a copy of
    // this stack, so it returns here like fork(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<CloneArgs>()) };
    match pid {
        0 => Ok(Fork::Child),
        pid if pid > 0 => {
            // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Fork::Parent(Child { pid: pid as i32, pidfd }))
        }
        _ => Err(Error::os("clone3", format!("flags={flags:#x}"), last_errno())),
    }
}

/// A stack for a child that shares the caller's memory: mapped by itself, so that what is not used of it costs nothing, above a page
/// that nobody may touch, so that a stack that is too small is a fault and no silent damage.
#[derive(Debug)]
pub struct Stack(NonNull<c_void>);

impl Stack {
    /// 128 KiB: ample for a child that only makes system calls.
    const SIZE: usize = 128 * 1024;
    /// Of a page on x86_64.
    const GUARD: usize = 4096;

    /// Maps it.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Self> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping wherever the kernel likes.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::GUARD + Self::SIZE, libc::PROT_NONE, kind, -1, 0) };
        let base = NonNull::new(base).filter(|base| base.as_ptr() != libc::MAP_FAILED);
        let stack = base.map(Self).ok_or_else(|| Error::os("mmap", "stack", last_errno()))?;
        // SAFETY: all of it but the guard, which is below.
        let opened = unsafe { libc::mprotect(stack.bottom(), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        done(c_long::from(opened)).at("mprotect", "stack")?;
        Ok(stack)
    }

    /// Its lowest address; it grows down to there.
    fn bottom(&self) -> *mut c_void {
        // SAFETY: inside of the mapping.
        unsafe { self.0.as_ptr().byte_add(Self::GUARD) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody is on it any more.
        unsafe { libc::munmap(self.0.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}

/// clone3(2) with CLONE_VM: the child calls `entry` with `argument`, on `stack` and in the caller's memory, and ends with what
/// that returns.
///
/// # Safety
/// `stack` and what `entry` uses have to stay until the child has executed, ended or stopped using them, and nothing of it may
/// be used by the caller at the same time.
unsafe fn clone_sharing(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    stack: &Stack,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> Result<Child> {
    let mut pidfd: c_int = -1;
    let mut args = clone_args(flags | flags::VM | flags::CLEAR_SIGHAND, cgroup, &mut pidfd);
    args.stack = stack.bottom() as u64;
    args.stack_size = Stack::SIZE as u64;
    let blocked = SignalMask::block_all();
    let pid: c_long;
    // SAFETY: the child gets a stack of its own (args.stack), never returns from this block (it ends in exit_group), and uses of
    // the shared memory only what the caller answers for. r12 and r13 survive the call in both. Signals are blocked, so no
    // handler of the caller runs on the child's stack.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "mov edi, eax",
            "mov eax, 231",
            "syscall",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => pid,
            in("rdi") &raw const args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") argument,
            in("r13") entry as *const () as usize,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    drop(blocked);
    if pid < 0 {
        let errno = Errno::from_raw_os_error(-pid as i32);
        return Err(Error::os("clone3", format!("flags={:#x}", args.flags), errno));
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: pid as i32, pidfd })
}

/// The argument a vforked child is started with: a closure, type-erased.
struct Entry<'a> {
    body: &'a mut dyn FnMut() -> i32,
}

extern "C" fn enter(entry: *mut c_void) -> c_int {
    // SAFETY: `vfork` passes a pointer to an `Entry` on the parent's stack, and the parent stands still until this
    // child has exec'd or exited.
    let entry = unsafe { &mut *entry.cast::<Entry<'_>>() };
    (entry.body)()
}

/// clone3(2) with CLONE_VM and CLONE_VFORK: the child runs `body` on `stack` in the caller's memory while the calling
/// thread waits, until it execs or `body` returns its exit status. No page of the caller is copied, so this costs the
/// same from a large process as from a small one.
///
/// `body` must keep to system calls on what was prepared before: no locks, no allocation (another thread of the caller
/// may hold the allocator's lock), no panic. What it leaves in memory is seen by the caller.
///
/// # Errors
/// The errno of clone3(2).
pub fn vfork(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    stack: &Stack,
    body: &mut dyn FnMut() -> i32,
) -> Result<Child> {
    let mut entry = Entry { body };
    // SAFETY: CLONE_VFORK holds the calling thread here for as long as the child shares its memory.
    unsafe { clone_sharing(flags | flags::VFORK, cgroup, stack, enter, (&raw mut entry).cast()) }
}

/// The allocator of a program that uses [`Halfway`]. What a child asks for in its turns comes from a place of its own, and what it
/// gives back stays: it may be killed in the middle of anything, and its parent's heap has to be whole afterwards.
pub struct Allocator;

/// Where the child whose turn it is has its memory from: the next free address, and the end. 0: it is the parent's turn.
static PLACE: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

// SAFETY: with a place set, one process runs, and gets pieces of the place that do not overlap, aligned, and never given again;
// otherwise all is the system's allocator. No pointer into a place outlives the turn, see `Halfway`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = PLACE.0.load(Ordering::Relaxed);
        if free == 0 {
            // SAFETY: as the caller answers for.
            return unsafe { System.alloc(layout) };
        }
        let start = free.next_multiple_of(layout.align());
        let Some(end) = start.checked_add(layout.size()).filter(|end| *end <= PLACE.1.load(Ordering::Relaxed)) else {
            return ptr::null_mut();
        };
        PLACE.0.store(end, Ordering::Relaxed);
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if PLACE.0.load(Ordering::Relaxed) == 0 {
            // SAFETY: as the caller answers for; what a child had is not given back here.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

/// A child that has done all but execute, in the memory of its parent, which must have one thread and [`Allocator`].
///
/// Of the two only one runs. The child has the first turn, until it hands over; meanwhile the parent sleeps. Then the child
/// sleeps, on its own stack, until it is told to go on; and then the parent sleeps, until the child has executed or ended. It may
/// be killed at any time: of what it wrote the parent reads only what it then told of by a byte.
pub struct Halfway<T> {
    /// None once it has executed.
    child: Option<Child>,
    /// Each end's holder sleeps on it while it is not its turn.
    turn: OwnedFd,
    shared: NonNull<Shared<T>>,
    /// The child's, for as long as it is there: its stack, and its place for all else.
    _memory: (Stack, Stack),
}

struct Shared<T> {
    value: T,
    turn: c_int,
    last: fn(&mut T) -> Error,
    /// Free and end of the child's place.
    place: (usize, usize),
    /// Written, in the child's place, when it says [`FAILED`].
    failed: MaybeUninit<Error>,
}

/// What one says to the other: it is your turn.
const YOURS: u8 = 1;
/// And: I have failed.
const FAILED: u8 = 2;

/// Sleeps until the other one says something; none when it has executed or ended instead.
fn sleep(turn: BorrowedFd<'_>) -> Option<u8> {
    let mut byte = [0];
    loop {
        match rustix::io::read(turn, &mut byte) {
            Err(Errno::INTR) => {}
            read => return matches!(read, Ok(1)).then_some(byte[0]),
        }
    }
}

/// Begins or ends the child's turn, as far as its memory is concerned; returns what was free.
fn allocate_from((free, end): (usize, usize)) -> usize {
    PLACE.1.store(end, Ordering::Relaxed);
    PLACE.0.swap(free, Ordering::Relaxed)
}

/// What the child of [`Halfway::start`] is given on its parent's stack, and takes at once.
struct Start<T, F> {
    shared: *mut Shared<T>,
    first: Option<F>,
}

extern "C" fn begin<T, F: FnOnce(BorrowedFd<'_>) -> Result<()>>(start: *mut c_void) -> c_int {
    // SAFETY: `Halfway::start` passes a pointer to a `Start` of these types on its stack, and sleeps until the child hands over.
    let Start { shared, first } = unsafe { &mut *start.cast::<Start<T, F>>() };
    let (shared, first) = (*shared, first.take());
    // SAFETY: `Halfway` keeps it until the child has left this memory, and uses it only when it has the turn.
    let (turn, place) = unsafe { (BorrowedFd::borrow_raw((*shared).turn), (*shared).place) };
    allocate_from(place);
    if let Some(Err(error)) = first.map(|first| first(turn)) {
        // SAFETY: it is the child's turn.
        unsafe { (*shared).failed.write(error) };
        return say_failed(turn);
    }
    let free = allocate_from((0, 0));
    // From the writing to the end of the reading it is the parent's turn; none of this allocates or touches errno.
    if rustix::io::write(turn, &[YOURS]).is_err() || sleep(turn).is_none() {
        return 127;
    }
    allocate_from((free, place.1));
    // SAFETY: it is the child's turn again.
    unsafe {
        let error = ((*shared).last)(&mut (*shared).value);
        (*shared).failed.write(error);
    }
    say_failed(turn)
}

/// Says so, and is the exit status of who did.
fn say_failed(turn: BorrowedFd<'_>) -> c_int {
    let _ = rustix::io::write(turn, &[FAILED]);
    127
}

impl<T> Halfway<T> {
    /// Starts it, in `cgroup`. It does `first`, which has to leave the descriptor open that it is given; and when it is told to go
    /// on, `last`, which executes and so returns only what that failed with. `value` is for the parent to change until then.
    /// Neither may panic, nor leave anything in this memory but what it returns.
    ///
    /// # Errors
    /// The errno of socketpair(2), mmap(2) or clone3(2), else the error of `first`; without an errno and of `clone3`, that it was
    /// ended meanwhile. There is no child then.
    pub fn start<F: FnOnce(BorrowedFd<'_>) -> Result<()>>(
        flags: u64,
        cgroup: BorrowedFd<'_>,
        value: T,
        first: F,
        last: fn(&mut T) -> Error,
    ) -> Result<Self> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .at("socketpair", "AF_UNIX, SOCK_STREAM")?;
        let memory = (Stack::new()?, Stack::new()?);
        let free = memory.1.bottom().expose_provenance();
        let (place, failed) = ((free, free + Stack::SIZE), MaybeUninit::uninit());
        let shared = Shared { value, turn: theirs.as_raw_fd(), last, place, failed };
        let shared = Box::into_raw(Box::new(shared));
        let mut start = Start { shared, first: Some(first) };
        let argument = (&raw mut start).cast();
        // SAFETY: below, this sleeps until the child has handed over, from when on it uses nothing but its memory and `shared`,
        // each in its turn, which live as long as it does; or until it has ended.
        let child = unsafe { clone_sharing(flags, Some(cgroup), &memory.0, begin::<T, F>, argument) };
        drop(theirs);
        // SAFETY: from a box.
        let shared = unsafe { NonNull::new_unchecked(shared) };
        let child = child.inspect_err(|_| {
            // SAFETY: from a box, and there is no child, so that nobody else has it.
            drop(unsafe { Box::from_raw(shared.as_ptr()) });
        })?;
        let mut halfway = Self { child: Some(child), turn: ours, shared, _memory: memory };
        match halfway.sleep() {
            Some(YOURS) => Ok(halfway),
            said => Err(halfway.failed(said).unwrap_or_else(|| Error::ended_early("clone3"))),
        }
    }

    /// As [`sleep`]; then it is the parent's turn, however the child's ended.
    fn sleep(&self) -> Option<u8> {
        let said = sleep(self.turn.as_fd());
        allocate_from((0, 0));
        said
    }

    /// What the child failed with, if that is what it said.
    fn failed(&mut self, said: Option<u8>) -> Option<Error> {
        // SAFETY: written before it was said. It lies in the child's place, and is neither dropped nor kept, but copied.
        (said == Some(FAILED)).then(|| unsafe { self.shared.as_ref().failed.assume_init_ref().clone() })
    }

    /// Its process ID in the caller's PID namespace.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Has it go on, after `prepare` has changed the value. When this returns without an error it has executed, or was killed, and
    /// what is left in this process can be dropped when there is time.
    ///
    /// # Errors
    /// What it failed with.
    pub fn execute(&mut self, prepare: impl FnOnce(&mut T)) -> Result<Child> {
        // SAFETY: the child has handed over.
        prepare(unsafe { &mut self.shared.as_mut().value });
        // Where it was killed, nobody reads it, and the reading says so.
        let _ = rustix::net::send(&self.turn, &[YOURS], rustix::net::SendFlags::NOSIGNAL);
        let said = self.sleep();
        match self.failed(said) {
            Some(error) => Err(error),
            None => self.child.take().ok_or_else(|| Error::new("execve", "", "it has executed already")),
        }
    }
}

impl<T> Drop for Halfway<T> {
    /// Ends it, unless it has executed.
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            let _ = pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL);
            let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
            let ended = rustix::process::WaitIdOptions::EXITED;
            while matches!(rustix::process::waitid(id.clone(), ended), Err(Errno::INTR)) {}
        }
        // SAFETY: from a box, and the child has left this memory: it has executed, or ended just now.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}

/// All signals blocked for the calling thread until dropped.
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Blocks every signal of the calling thread and remembers the mask it had.
    pub fn block_all() -> Self {
        // SAFETY: both sets are plain data owned here; the calls only read one and write the other.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut old: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
            Self(old)
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: restores the set that block_all was given by the kernel.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut());
        }
    }
}

/// Blocks `signals`, and no others, and returns a descriptor that reads them: signalfd(2), non-blocking, close-on-exec.
/// One that is pending and blocked already is not lost.
///
/// # Errors
/// The errno of signalfd4(2).
pub fn signalfd(signals: &[c_int]) -> Result<OwnedFd> {
    // SAFETY: the set is plain data owned here; signalfd copies it and returns a new descriptor or -1.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut());
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        owned(fd as c_long).at("signalfd", format!("{signals:?}"))
    }
}

/// Reads one pending signal's number from a signalfd; `None` when there is none.
pub fn read_signal(fd: BorrowedFd<'_>) -> Option<c_int> {
    let mut buffer = [0u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut buffer) {
        Ok(n) if n == buffer.len() => Some(i32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]])),
        _ => None,
    }
}

/// Empties the calling thread's signal mask, as a program expects to find it after exec.
pub fn unblock_signals() {
    // SAFETY: an empty set owned here is only read.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

/// Takes what signals do to this process back to what they do to any: what whoever started it ignores is none of its business. A
/// program ignores SIGPIPE from its start where it is written in Rust, and whatever it executes goes on doing so.
pub fn default_signals() {
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let (default, size) = ([0u64; 4], size_of::<u64>());
    // By number: those that the C library keeps for itself, and ignores in what it starts (posix_spawn(3)), it does not change.
    for signal in 1..=64 {
        // SAFETY: the action is only read, and has no handler. For SIGKILL and SIGSTOP the call says no.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0usize, size) };
    }
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn done(returned: c_long) -> std::result::Result<(), Errno> {
    if returned < 0 { Err(last_errno()) } else { Ok(()) }
}

/// # Safety
/// `fd` is the fresh result of a call that returns a new descriptor or -1.
unsafe fn owned(fd: c_long) -> std::result::Result<OwnedFd, Errno> {
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the caller says that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// setns(2): joins the namespaces `which` of `fd`, a namespace descriptor or a pidfd.
///
/// # Errors
/// The errno of setns(2).
pub fn setns(fd: BorrowedFd<'_>, which: u64) -> Result<()> {
    // SAFETY: takes two integers; the process keeps its memory.
    done(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), which as c_int) })
        .at("setns", format!("fd {}, {which:#x}", fd.as_raw_fd()))
}

/// unshare(2).
///
/// # Errors
/// The errno of unshare(2).
pub fn unshare(which: u64) -> Result<()> {
    // SAFETY: takes an integer. CLONE_FILES is never passed, so descriptors stay owned as they are.
    done(unsafe { libc::syscall(libc::SYS_unshare, which) }).at("unshare", format!("{which:#x}"))
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default, Debug, Clone, Copy)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// Propagation type, 0 to leave it.
    pub propagation: u64,
    /// User namespace whose map `MOUNT_ATTR_IDMAP` takes.
    pub userns_fd: u64,
}

/// `MOUNT_ATTR_RDONLY`.
pub const MOUNT_ATTR_RDONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub const MOUNT_ATTR_NOSUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub const MOUNT_ATTR_NODEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// `MOUNT_ATTR_IDMAP`.
pub const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

/// mount_setattr(2) on the mount that `fd` is the root of.
///
/// # Errors
/// The errno of mount_setattr(2); EINVAL for MOUNT_ATTR_IDMAP on a file system that cannot be idmapped.
pub fn mount_setattr(fd: BorrowedFd<'_>, attr: MountAttr) -> Result<()> {
    // SAFETY: the path is a static empty C string and `attr` a mount_attr of the size given; both outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &attr,
            size_of::<MountAttr>(),
        )
    })
    .at("mount_setattr", format!("fd {}, {attr:x?}", fd.as_raw_fd()))
}

/// pidfd_send_signal(2) with any signal number, real-time ones included.
///
/// # Errors
/// ESRCH when the process is gone, else the errno of pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> Result<()> {
    // SAFETY: a null siginfo is allowed; the others are integers.
    done(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, ptr::null::<libc::siginfo_t>(), 0)
    })
    .at("pidfd_send_signal", signal.to_string())
}

/// `struct pidfd_info` of pidfd_open(2)'s `PIDFD_GET_INFO`, its first version (Linux 6.13).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    others: [u32; 11],
}

/// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B;
/// `PIDFD_INFO_PID`.
const PIDFD_INFO_PID: u64 = 1;

/// The process ID behind a pidfd, as the caller's PID namespace numbers it.
///
/// # Errors
/// ENOTTY or EINVAL before Linux 6.13, ESRCH when the process was waited for.
pub fn pidfd_pid(pidfd: BorrowedFd<'_>) -> std::result::Result<i32, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_PID, ..PidfdInfo::default() };
    const { assert!(size_of::<PidfdInfo>() == 64) };
    // SAFETY: `info` is a pidfd_info of the size that the number names and outlives the call.
    done(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) }.into())?;
    Ok(info.pid as i32)
}

/// `PIDFD_GET_MNT_NAMESPACE`: `_IO(0xFF, 3)` (Linux 6.11).
const PIDFD_GET_MNT_NAMESPACE: libc::Ioctl = 0xFF03;

/// A descriptor of the mount namespace that the process behind a pidfd lives in, close-on-exec.
///
/// # Errors
/// ENOTTY or EINVAL before Linux 6.11, ESRCH when the process has ended.
pub fn pidfd_mount_namespace(pidfd: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    // SAFETY: takes no argument and returns a new descriptor or -1.
    unsafe { owned(libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_MNT_NAMESPACE, 0).into()) }
}

/// Takes on the identity of user and group 0 of the user namespace the caller is in, with no supplementary groups. The
/// raw calls are used because the C library's would signal other threads of an address space that is only borrowed.
///
/// # Errors
/// EINVAL where 0 is not mapped, EPERM without the capabilities.
pub fn become_root_of_namespace() -> Result<()> {
    // SAFETY: integers and an empty list.
    unsafe {
        done(libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>())).at("setgroups", "[]")?;
        done(libc::syscall(libc::SYS_setresgid, 0, 0, 0)).at("setresgid", "0, 0, 0")?;
        done(libc::syscall(libc::SYS_setresuid, 0, 0, 0)).at("setresuid", "0, 0, 0")
    }
}

/// prctl(PR_CAPBSET_DROP): takes capability number `capability` out of the bounding set.
///
/// # Errors
/// EINVAL for a number this kernel does not know, EPERM without CAP_SETPCAP.
pub fn drop_bounding(capability: u32) -> std::result::Result<(), Errno> {
    // SAFETY: integers only.
    done(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_CAPBSET_DROP, u64::from(capability), 0, 0, 0) })
}

/// capset(2): makes `permitted` the permitted and effective set, with nothing inheritable.
///
/// # Errors
/// EPERM when a capability is asked for that is not permitted.
pub fn set_capabilities(permitted: u64) -> Result<()> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let (low, high) = (permitted as u32, (permitted >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    // SAFETY: header and data have the layout of version 3 (two data elements) and outlive the call.
    done(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })
        .at("capset", format!("{permitted:#x}"))
}

/// prctl(PR_SET_DUMPABLE, 0): /proc/self belongs to root of the host and ptrace needs the host's capability.
pub fn set_undumpable() {
    // SAFETY: integers only; it cannot fail for the value 0.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/// One instruction of classic BPF, as seccomp(2) takes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BpfInstruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when true.
    pub jt: u8,
    /// Instructions to skip when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// seccomp(SECCOMP_SET_MODE_FILTER): loads the filter, beside those that are there, for the caller and what it starts. The
/// caller has CAP_SYS_ADMIN in its user namespace, so that no_new_privs stays off and set-user-ID programs of the zone go
/// on working.
///
/// # Errors
/// EINVAL for a filter the kernel refuses, EACCES without the capability.
pub fn set_seccomp_filter(program: &[BpfInstruction]) -> Result<()> {
    done(seccomp(program, 0)).at("seccomp", format!("{} instructions", program.len()))
}

/// The same with SECCOMP_FILTER_FLAG_NEW_LISTENER: returns the descriptor on which the calls that it hands over are heard.
///
/// # Errors
/// As [`set_seccomp_filter`]; EBUSY when the caller has a listener already.
pub fn set_seccomp_listener(program: &[BpfInstruction]) -> Result<OwnedFd> {
    const NEW_LISTENER: c_int = 1 << 3;
    // SAFETY: with this flag the call returns a new descriptor or -1.
    unsafe { owned(seccomp(program, NEW_LISTENER)) }
        .at("seccomp", format!("{} instructions, NEW_LISTENER", program.len()))
}

fn seccomp(program: &[BpfInstruction], flags: c_int) -> c_long {
    const SET_MODE_FILTER: c_int = 1;
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr() as *mut libc::sock_filter };
    // SAFETY: BpfInstruction has the layout of sock_filter, the kernel only reads `len` of them, and both outlive the
    // call.
    unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &filter) }
}

/// A system call that a filter handed over, whose caller waits for the answer: `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct HandedCall {
    /// Names the call while its caller waits.
    pub id: u64,
    /// Process ID of the caller in the listener's PID namespace.
    pub pid: u32,
    flags: u32,
    /// Number of the call.
    pub number: i32,
    architecture: u32,
    instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

const NOTIF_RECEIVE: u64 = 0xC050_2100; // SECCOMP_IOCTL_NOTIF_RECV
const NOTIF_SEND: u64 = 0xC018_2101; // SECCOMP_IOCTL_NOTIF_SEND
const NOTIF_ID_VALID: u64 = 0x4008_2102; // SECCOMP_IOCTL_NOTIF_ID_VALID

/// The next call that was handed over.
///
/// # Errors
/// ENOENT when its caller has been killed meanwhile, else the errno of the ioctl.
pub fn receive_call(listener: BorrowedFd<'_>) -> Result<HandedCall> {
    let mut call = HandedCall::default();
    // SAFETY: the ioctl fills a zeroed seccomp_notif, whose layout HandedCall has; it outlives the call.
    done(c_long::from(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECEIVE, &raw mut call) }))
        .at("ioctl", "SECCOMP_IOCTL_NOTIF_RECV")?;
    Ok(call)
}

/// Whether the caller still waits; what was found out about its process ID before is then about that caller.
pub fn still_waits(listener: BorrowedFd<'_>, call: &HandedCall) -> bool {
    // SAFETY: the ioctl reads a u64 that outlives it.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const call.id) == 0 }
}

/// Ends a call that was handed over: with 0, or with an errno. A caller that is gone is no error.
pub fn answer_call(listener: BorrowedFd<'_>, call: &HandedCall, errno: Option<Errno>) {
    #[repr(C)]
    struct Answer {
        id: u64,
        value: i64,
        error: i32,
        flags: u32,
    }
    let error = errno.map_or(0, |errno| -errno.raw_os_error());
    let answer = Answer { id: call.id, value: 0, error, flags: 0 };
    // SAFETY: the ioctl reads a seccomp_notif_resp, whose layout Answer has; it outlives the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw const answer) };
}

/// close_range(2): closes every descriptor from `first` up.
pub fn close_from(first: u32) {
    // SAFETY: only for a process about to exec or to exit: no owner of these descriptors runs after it.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
    }
}

/// Closes every descriptor from 3 up that is not in `kept`. For a child just forked: the objects of its parent that own
/// the others must not be dropped in it, which a process that ends in [`exit_now`] keeps.
pub fn close_except(kept: &[BorrowedFd<'_>]) {
    let mut numbers: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if number > first {
            // SAFETY: as the documentation says, nobody in this process uses the others.
            unsafe { libc::syscall(libc::SYS_close_range, first, number - 1, 0) };
        }
        first = first.max(number + 1);
    }
    close_from(first);
}

/// close_range(2) with CLOSE_RANGE_CLOEXEC: every descriptor from `first` up goes at the next exec.
pub fn cloexec_from(first: u32) {
    // SAFETY: changes a flag of descriptors; their ownership stays.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 4);
    }
}

/// dup2(2) onto a descriptor number that nobody in this process owns as an object (0 to 2, or 3 and 4 before an exec).
///
/// # Errors
/// EBADF or EINTR.
pub fn dup_onto(fd: BorrowedFd<'_>, number: c_int) -> std::result::Result<(), Errno> {
    if fd.as_raw_fd() == number {
        // SAFETY: clears FD_CLOEXEC, which dup2 would leave on a descriptor duplicated onto itself.
        return done(c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }));
    }
    // SAFETY: `number` is free or a standard stream, which std never closes.
    done(unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), number, 0) })
}

/// A NULL-terminated vector of C strings.
pub struct CStrings {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    /// Copies `strings`; what follows a NUL byte in one of them is cut off.
    pub fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let owned: Vec<CString> = strings
            .into_iter()
            .map(|text| {
                let bytes = text.as_ref();
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                CString::new(&bytes[..end]).unwrap_or_default()
            })
            .collect();
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }
}

/// execve(2); returns only if it failed.
pub fn execve(path: &CStr, argv: &CStrings, envp: &CStrings) -> Errno {
    // SAFETY: both vectors end in NULL and their strings live as long as they do.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    last_errno()
}

/// execveat(2) of the file that `fd` is, which needs no path; returns only if it failed.
pub fn fexecve(fd: BorrowedFd<'_>, argv: &CStrings, envp: &CStrings) -> Errno {
    // SAFETY: an empty static path, and vectors that end in NULL and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    last_errno()
}

/// Overwrites what /proc/self/cmdline shows with `words`, cut to the room the original arguments took, and sets the
/// thread's name to the first word. A forked child that never execs uses it to be told from its parent.
pub fn set_title(words: &[&str]) {
    // With room to begin with, one read(2) gives all of it.
    let mut stat = String::with_capacity(1024);
    let _ =
        std::fs::File::open("/proc/self/stat").and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut stat));
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |n: usize| after_name.split_whitespace().nth(n - 3).and_then(|text| text.parse::<usize>().ok());
    if let (Some(start), Some(end)) = (field(48), field(49))
        && start != 0
        && end > start
    {
        let mut title: Vec<u8> = words.join("\0").into_bytes();
        title.resize(end - start, 0);
        // SAFETY: arg_start to arg_end is this process's own argument area on its stack, writable, and nothing else
        // refers to it: std copied the arguments at start.
        unsafe { ptr::copy_nonoverlapping(title.as_ptr(), start as *mut u8, title.len()) };
    }
    if let Some(word) = words.first() {
        set_name(word);
    }
}

/// Sets the thread's name (comm of proc(5)), cut to 15 bytes.
pub fn set_name(name: &str) {
    let bytes: Vec<u8> = name.bytes().take(15).collect();
    if let Ok(name) = CString::new(bytes) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Ends the process at once, without running destructors or exit handlers of a parent it was forked from.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// Gives back to the kernel what the allocator holds free, and keeps it from hoarding later: a process that waits for
/// years should weigh what it uses.
pub fn trim_memory() {
    // SAFETY: malloc_trim(3) only returns free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets all threads share two of the allocator's arenas (mallopt(3), `M_ARENA_MAX`): with one for each of many short-lived
/// threads, what they leave lies in pieces that nobody can give back.
pub fn share_memory() {
    // SAFETY: sets a number of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// kill(2); a process that is gone is no error.
pub fn kill(pid: i32, signal: c_int) {
    // SAFETY: integers only.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Lets `command` start its program with an empty signal mask, as the foreground job of the terminal that is its
/// standard input, if it is one: what is typed there reaches it and not who started it.
pub fn start_in_foreground(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the closure makes async-signal-safe calls only and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            // SIGTTOU would stop a background job that takes the terminal.
            let blocked = SignalMask::block_all();
            libc::setpgid(0, 0);
            libc::tcsetpgrp(0, libc::getpid());
            drop(blocked);
            unblock_signals();
            Ok(())
        });
    }
}

/// Lets the process that `command` starts live no longer than the thread that starts it, in a process group of its own, and
/// keeps it from writing a file or having memory larger than so many bytes.
pub fn bind_child(command: &mut std::process::Command, file_bytes: u64, memory_bytes: u64) {
    use std::os::unix::process::CommandExt;
    let limits = [(libc::RLIMIT_FSIZE, file_bytes), (libc::RLIMIT_AS, memory_bytes), (libc::RLIMIT_CORE, 0)];
    // SAFETY: the closure makes async-signal-safe calls only and touches no memory of the parent.
    unsafe {
        command.process_group(0).pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // A file that is too large is an error that it can tell of, not its silent end.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            for (resource, most) in limits {
                libc::setrlimit(resource, &libc::rlimit { rlim_cur: most, rlim_max: most });
            }
            Ok(())
        });
    }
}

/// ustat(2): whether the kernel has a superblock with this st_dev that counts free blocks or inodes, be it mounted anywhere
/// or only held by an open file. File systems that store nothing (proc, mqueue) count neither.
///
/// # Errors
/// The errno of ustat(2) other than EINVAL, which says that there is none.
pub fn has_store(device: u64) -> Result<bool> {
    // struct ustat: free blocks, free inodes, two names; 32 bytes.
    let mut found = [0u64; 4];
    // SAFETY: takes a 32-bit device number and fills a struct of at most the size given, which outlives the call.
    match done(unsafe { libc::syscall(libc::SYS_ustat, device as u32, found.as_mut_ptr()) }) {
        Err(Errno::INVAL) => Ok(false),
        called => called.map(|()| found[0] as u32 != 0 || found[1] != 0).at("ustat", format!("{device:#x}")),
    }
}

/// Takes over descriptor `number`, which whoever executed this program left open for it, and makes it close-on-exec.
///
/// # Errors
/// EBADF when it is not open.
pub fn inherited(number: c_int) -> Result<OwnedFd> {
    // SAFETY: fcntl on an integer; it fails on what is not open.
    done(c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }))
        .at("fcntl", format!("{number}, F_SETFD"))?;
    // SAFETY: it is open, and by the contract between the two programs it is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// setsockopt(2) of a netlink socket: switches `option` (`NETLINK_*`) on.
///
/// # Errors
/// The errno of setsockopt(2); `ENOPROTOOPT` where the kernel does not have it.
pub fn netlink_option(socket: BorrowedFd<'_>, option: c_int) -> Result<()> {
    let on: c_int = 1;
    let len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the value is an int that lives through the call, and its length is given.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), len) };
    done(c_long::from(result)).at("setsockopt", format!("SOL_NETLINK, {option}"))
}

/// Receives a message of a netlink socket with NETLINK_LISTEN_ALL_NSID and says from which network namespace it is: its number in
/// the socket's own, none where it is that one. The message itself is let go. Does not wait.
///
/// # Errors
/// EAGAIN when there is none, ENOBUFS when some were lost, else the errno of recvmsg(2).
pub fn receive_namespace(socket: BorrowedFd<'_>) -> std::result::Result<Option<i32>, Errno> {
    const LISTEN_ALL_NSID: c_int = 8;
    let (mut byte, mut control) = ([0u8; 1], [0u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
    // SAFETY: the message names two buffers of the sizes given, which outlive the call; recvmsg fills them.
    done(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) } as c_long)?;
    // SAFETY: the kernel has filled the control buffer, which is aligned for a header; what follows one is an int.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() {
            return Ok(None);
        }
        let is_number = ((*header).cmsg_level, (*header).cmsg_type) == (libc::SOL_NETLINK, LISTEN_ALL_NSID);
        Ok(is_number.then(|| libc::CMSG_DATA(header).cast::<c_int>().read_unaligned()))
    }
}

/// SO_PEERCRED of a connected socket (unix(7)): process ID, user and group of the peer as the caller's namespaces show
/// them. A process that the caller's PID namespace does not show has ID 0; rustix has no value for that.
///
/// # Errors
/// The errno of getsockopt(2).
pub fn peer_credentials(socket: BorrowedFd<'_>) -> Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the value is a struct of the kernel's layout that lives through the call, and its length is given.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut found).cast(), &raw mut len)
    };
    done(c_long::from(result)).at("getsockopt", "SO_PEERCRED")?;
    Ok(found)
}

/// The name of an interface: any bytes but a few, as whoever administers the network namespace likes.
pub type InterfaceName = [u8; libc::IFNAMSIZ];

/// It as it is shown.
fn shown(name: &InterfaceName) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

fn interface_request(name: &InterfaceName) -> libc::ifreq {
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = name.map(|byte| byte as c_char);
    request
}

/// The name of the interface with this number in the socket's network namespace (SIOCGIFNAME); none where there is none.
///
/// # Errors
/// The errno of the ioctl.
pub fn interface_by_number(socket: BorrowedFd<'_>, number: i32) -> Result<Option<InterfaceName>> {
    let mut request = interface_request(&[0; libc::IFNAMSIZ]);
    request.ifr_ifru.ifru_ifindex = number;
    match interface_ioctl(socket, libc::SIOCGIFNAME as libc::Ioctl, &mut request) {
        Ok(()) => Ok(Some(request.ifr_name.map(|byte| byte as u8))),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(Error::os("ioctl", format!("SIOCGIFNAME, {number}"), errno)),
    }
}

/// Binds a socket to an interface (SO_BINDTODEVICE).
///
/// # Errors
/// ENODEV when there is none of this name, else the errno of setsockopt(2).
pub fn bind_to_interface(socket: BorrowedFd<'_>, name: &InterfaceName) -> Result<()> {
    let (level, option, len) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.len() as libc::socklen_t);
    // SAFETY: the name and its length are given; it is only read.
    let bound = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, name.as_ptr().cast(), len) };
    done(c_long::from(bound)).at("setsockopt", format!("SO_BINDTODEVICE, {}", shown(name)))
}

fn interface_ioctl(
    socket: BorrowedFd<'_>,
    call: libc::Ioctl,
    request: &mut libc::ifreq,
) -> std::result::Result<(), Errno> {
    // SAFETY: each of the calls made here takes a pointer to an ifreq, which outlives the call.
    done(c_long::from(unsafe { libc::ioctl(socket.as_raw_fd(), call, ptr::from_mut(request)) }))
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let from = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: sockaddr_in and sockaddr have the same size and no padding, and every bit pattern is a valid sockaddr.
    unsafe { std::mem::transmute(from) }
}

/// Sets an interface up or down (SIOCSIFFLAGS).
///
/// # Errors
/// ENODEV when there is none of this name, else the errno of the ioctl.
pub fn set_interface_up(socket: BorrowedFd<'_>, name: &InterfaceName, up: bool) -> Result<()> {
    let mut request = interface_request(name);
    interface_ioctl(socket, libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)
        .at("ioctl", format!("SIOCGIFFLAGS, {}", shown(name)))?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let bit = libc::IFF_UP as i16;
    request.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
    interface_ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl, &mut request)
        .at("ioctl", format!("SIOCSIFFLAGS, {}, up={up}", shown(name)))
}

/// Gives an interface its first IPv4 address with a prefix of `prefix` bits (SIOCSIFADDR, SIOCSIFNETMASK).
///
/// # Errors
/// ENODEV when there is none of this name, EINVAL for an address that no interface can have.
pub fn set_interface_address(
    socket: BorrowedFd<'_>,
    name: &InterfaceName,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<()> {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_addr = socket_address(address);
    interface_ioctl(socket, libc::SIOCSIFADDR as libc::Ioctl, &mut request)
        .at("ioctl", format!("SIOCSIFADDR, {}, {address}", shown(name)))?;
    request.ifr_ifru.ifru_addr = socket_address(mask.into());
    interface_ioctl(socket, libc::SIOCSIFNETMASK as libc::Ioctl, &mut request)
        .at("ioctl", format!("SIOCSIFNETMASK, {}, /{prefix}", shown(name)))
}

/// Whether an interface has an IPv4 address (SIOCGIFADDR).
///
/// # Errors
/// The errno of the ioctl.
pub fn has_interface_address(socket: BorrowedFd<'_>, name: &InterfaceName) -> Result<bool> {
    let mut request = interface_request(name);
    match interface_ioctl(socket, libc::SIOCGIFADDR as libc::Ioctl, &mut request) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRNOTAVAIL) => Ok(false),
        Err(errno) => Err(Error::os("ioctl", format!("SIOCGIFADDR, {}", shown(name)), errno)),
    }
}

/// Takes an interface's first IPv4 address away (SIOCSIFADDR with 0.0.0.0).
///
/// # Errors
/// The errno of the ioctl.
pub fn clear_interface_address(socket: BorrowedFd<'_>, name: &InterfaceName) -> Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_addr = socket_address(Ipv4Addr::UNSPECIFIED);
    interface_ioctl(socket, libc::SIOCSIFADDR as libc::Ioctl, &mut request)
        .at("ioctl", format!("SIOCSIFADDR, {}, 0.0.0.0", shown(name)))
}

/// Adds a default route by `router` through interface `name` (SIOCADDRT).
///
/// # Errors
/// ENETUNREACH when the router is in none of the interface's networks, else the errno of the ioctl.
pub fn add_default_route(socket: BorrowedFd<'_>, name: &str, router: Ipv4Addr) -> Result<()> {
    let device = CString::new(name).unwrap_or_default();
    // SAFETY: all zeroes is a valid rtentry.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(router);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    route.rt_dev = device.as_ptr().cast_mut();
    // SAFETY: SIOCADDRT takes a pointer to an rtentry; it and the name in it outlive the call, and are only read.
    done(c_long::from(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as libc::Ioctl, &raw mut route) }))
        .at("ioctl", format!("SIOCADDRT, default by {router} dev {name}"))
}

/// `struct file_handle` of name_to_handle_at(2) with the most room the kernel asks for (`MAX_HANDLE_SZ`).
#[repr(C)]
struct FileHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; 128],
}

/// name_to_handle_at(2) of the file that `path` below `folder` leads to, links followed: its type and its bytes.
///
/// # Errors
/// EOPNOTSUPP where the file system has no handles, else the errno of name_to_handle_at(2).
pub fn name_to_handle(folder: BorrowedFd<'_>, path: &CStr) -> std::result::Result<(i32, Vec<u8>), Errno> {
    let mut found = FileHandle { bytes: 128, kind: 0, handle: [0; 128] };
    let mut mount: c_int = 0;
    // SAFETY: the path is a C string, the handle has the room it says, and all of them outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            folder.as_raw_fd(),
            path.as_ptr(),
            &raw mut found,
            &raw mut mount,
            libc::AT_SYMLINK_FOLLOW,
        )
    })?;
    let length = (found.bytes as usize).min(found.handle.len());
    Ok((found.kind, found.handle[..length].to_vec()))
}

/// open_by_handle_at(2), read-only, of a handle on the file system that `mount` is on.
///
/// # Errors
/// ESTALE when what the handle names is gone, else the errno of open_by_handle_at(2).
pub fn open_by_handle(mount: BorrowedFd<'_>, kind: i32, bytes: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let mut wanted = FileHandle { bytes: bytes.len() as u32, kind, handle: [0; 128] };
    wanted.handle.get_mut(..bytes.len()).ok_or(Errno::INVAL)?.copy_from_slice(bytes);
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the handle is as long as it says and is only read; a new descriptor or -1 comes back.
    unsafe { owned(libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut wanted, flags)) }
}

/// kcmp(2), `KCMP_FILES`: whether two threads share one table of descriptors.
///
/// # Errors
/// ESRCH when one is gone, EPERM, or ENOSYS where the kernel is built without it.
pub fn same_files(one: i32, other: i32) -> std::result::Result<bool, Errno> {
    const KCMP_FILES: c_int = 2;
    // SAFETY: integers only.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) };
    done(order)?;
    Ok(order == 0)
}

/// `LOOP_GET_STATUS64` (loop(4)): the device number of the file system that the backing file of a loop device is on.
///
/// # Errors
/// ENXIO when it has no backing file.
pub fn loop_backing_device(device: BorrowedFd<'_>) -> std::result::Result<u64, Errno> {
    const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
    // struct loop_info64 has 232 bytes and begins with lo_device.
    let mut info = [0u64; 29];
    // SAFETY: the ioctl fills a struct of this size and alignment, which outlives the call.
    done(c_long::from(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, info.as_mut_ptr()) }))?;
    Ok(info[0])
}

/// `NS_GET_USERNS` (ioctl_ns(2)): the user namespace that owns a namespace.
///
/// # Errors
/// EPERM when it is not below the caller's own.
pub fn owning_user_namespace(namespace: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    const NS_GET_USERNS: libc::Ioctl = 0xB701;
    // SAFETY: takes no argument; a new descriptor or -1 comes back.
    unsafe { owned(c_long::from(libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS))) }
}

/// `SIOCGSKNS`: the network namespace that a socket is of.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over it, ENOTTY for what is no socket.
pub fn socket_namespace(socket: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    const SIOCGSKNS: libc::Ioctl = 0x894C;
    // SAFETY: takes no argument; a new descriptor or -1 comes back.
    unsafe { owned(c_long::from(libc::ioctl(socket.as_raw_fd(), SIOCGSKNS))) }
}
