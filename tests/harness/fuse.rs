//! A FUSE server that speaks the kernel's protocol itself (fuse(4)): one folder with one file. When the file is read it
//! takes the request, and stops (SIGSTOP) before it answers, so that the reader waits in the kernel where no signal reaches
//! it. It is the test program itself, started again.

use rustix::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Tells the program that it is to be the server of this folder.
const VARIABLE: &str = "REEVE_TEST_FUSE";
/// The test that the server runs as.
const TEST: &str = "fuse_server";

/// A server that runs.
pub struct Server {
    folder: PathBuf,
    process: Child,
}

impl Server {
    /// Makes the folder and serves it.
    pub fn start(folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let before = device(folder);
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", TEST, "--nocapture"]).env(VARIABLE, folder);
        let server = Self { folder: folder.to_owned(), process: command.spawn().expect("this program again") };
        let deadline = Instant::now() + Duration::from_secs(10);
        while device(folder) == before {
            assert!(Instant::now() < deadline, "the server has not mounted");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of the connection: the minor number of the file system.
    pub fn connection(&self) -> u32 {
        rustix::fs::minor(device(&self.folder))
    }

    /// Waits until it has stopped, with a request in hand.
    pub fn wait_stopped(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let stopped = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        while !stopped() {
            assert!(Instant::now() < deadline, "nobody read the file");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it answer.
    pub fn go_on(&self) {
        reeve_kernel::sys::kill(self.process.id() as i32, libc::SIGCONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::DETACH);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The file system of a folder, without asking its server.
fn device(folder: &Path) -> u64 {
    use rustix::fs::{AtFlags, StatxFlags};
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(rustix::fs::CWD, folder, flags, StatxFlags::empty()).expect("statx");
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

/// Serves, where this program was started for that; returns at once where it was not.
pub fn serve_if_asked() {
    let Some(folder) = std::env::var_os(VARIABLE) else { return };
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/fuse", flags, rustix::fs::Mode::empty()).expect("/dev/fuse");
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", std::os::fd::AsRawFd::as_raw_fd(&device));
    let options = std::ffi::CString::new(options).expect("no NUL");
    let no_flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("reeve-test", Path::new(&folder), "fuse", no_flags, &*options).expect("mount fuse");
    serve(&device);
}

/// Operations of the protocol, `enum fuse_opcode`.
mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const RELEASEDIR: u32 = 29;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
}

/// The node of the file; that of the folder is 1.
const FILE: u64 = 2;
const TEXT: &[u8] = b"from the server\n";

fn serve(device: &OwnedFd) {
    let mut buffer = vec![0u8; 1 << 17];
    while let Ok(length) = rustix::io::read(device, &mut buffer[..]) {
        // struct fuse_in_header: len, opcode, unique, nodeid, ...
        let request = &buffer[..length];
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("eight bytes"));
        let (opcode, unique, node) = (word(4), long(8), long(16));
        let answer = match opcode {
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => continue,
            op::INIT => Ok(init()),
            op::GETATTR => Ok([1u64.to_ne_bytes().to_vec(), 0u64.to_ne_bytes().to_vec(), attributes(node)].concat()),
            op::LOOKUP if &request[40..] == b"file\0" => Ok(entry()),
            op::LOOKUP => Err(libc::ENOENT),
            op::OPEN | op::OPENDIR => Ok(vec![0; 16]),
            op::READ => {
                reeve_kernel::sys::kill(std::process::id() as i32, libc::SIGSTOP);
                // The signal may be another thread's to take: this one must not answer before all of them stand.
                std::thread::sleep(Duration::from_millis(300));
                let at = (long(48) as usize).min(TEXT.len());
                Ok(TEXT[at..].to_vec())
            }
            op::STATFS => Ok(vec![0; 80]),
            op::RELEASE | op::RELEASEDIR => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        };
        let (error, body) = answer.map_or_else(|errno| (-errno, Vec::new()), |body| (0, body));
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend(((16 + body.len()) as u32).to_ne_bytes());
        reply.extend(error.to_ne_bytes());
        reply.extend(unique.to_ne_bytes());
        reply.extend(body);
        // ENOENT: whoever asked has been killed meanwhile.
        let _ = rustix::io::write(device.as_fd(), &reply);
    }
}

/// `struct fuse_init_out`: version 7.31, 64 bytes.
fn init() -> Vec<u8> {
    let mut out = vec![0u8; 64];
    out[..4].copy_from_slice(&7u32.to_ne_bytes());
    out[4..8].copy_from_slice(&31u32.to_ne_bytes());
    out[8..12].copy_from_slice(&(1u32 << 16).to_ne_bytes());
    // max_write
    out[20..24].copy_from_slice(&4096u32.to_ne_bytes());
    out
}

/// `struct fuse_entry_out` of the file.
fn entry() -> Vec<u8> {
    let mut out = Vec::new();
    // nodeid, generation, entry_valid, attr_valid, and their nanoseconds
    [FILE, 0, 1, 1, 0].iter().for_each(|word| out.extend(word.to_ne_bytes()));
    out.extend(attributes(FILE));
    out
}

/// `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let file = node == FILE;
    let mut out = Vec::new();
    // ino, size, blocks, atime, mtime, ctime
    [node, if file { TEXT.len() as u64 } else { 0 }, 0, 0, 0, 0].iter().for_each(|word| out.extend(word.to_ne_bytes()));
    let mode: u32 = if file { 0o100_444 } else { 0o040_555 };
    // nanoseconds of the three, mode, nlink, uid, gid, rdev, blksize, flags
    [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].iter().for_each(|word: &u32| out.extend(word.to_ne_bytes()));
    out
}
