//! The default system call filter: what reaches past every namespace, or is attack surface that no service needs, is
//! refused. It is built as a binary tree, because the kernel runs it for every call, and when it is loaded once for
//! each call number (a list of 300 comparisons costs 0.67 ms at each start).
//!
//! There are two filters, and the stricter answer counts: zsched has loaded that of the zone, and hands it down to all that
//! it starts; that of the environment has the calls that zsched itself needs.
//!
//! EPERM where a program must hear a no; ENOSYS where it has an older way to fall back on.

use crate::sys::BpfInstruction;
use std::sync::OnceLock;

/// What to do with one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Refuse with this errno.
    Refuse(u32),
    /// Refuse when argument `argument`'s low half has one of these bits: EPERM.
    RefuseBits { argument: u32, bits: u32 },
    /// ioctl(2): not the requests below.
    Requests,
    /// socket(2): only the families below.
    Families,
    /// Hand the call over to who listens, zsched.
    HandOver,
}

use Rule::{Families, HandOver, Refuse, RefuseBits, Requests};

const EPERM: u32 = libc::EPERM as u32;
const ENOSYS: u32 = libc::ENOSYS as u32;
const EAFNOSUPPORT: u32 = libc::EAFNOSUPPORT as u32;

/// A nested user namespace would give zone root a place in which more of the kernel can be reached.
const NO_USER_NS: Rule = RefuseBits { argument: 0, bits: libc::CLONE_NEWUSER as u32 };
/// TIOCSTI and TIOCLINUX put characters into a terminal that somebody else may read.
const INJECTION: [u32; 2] = [0x5412, 0x541C];
/// Type and number, the low half, of NS_MNT_GET_NEXT and NS_MNT_GET_PREV (Linux 6.12; their size may grow): they would hand out the
/// mount namespaces of other environments of the zone, also of the one to come.
const OTHER_MOUNTS: [u32; 2] = [0xB70B, 0xB70C];

/// Families a socket may have: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET.
const FAMILIES: [u32; 5] = [1, 2, 10, 16, 17];
/// Netlink protocols that act on the host: NETLINK_XFRM, NETLINK_AUDIT.
const NETLINK_REFUSED: [u32; 2] = [6, 9];

/// The last system call number of Linux 6.18; what is above is unknown here.
const LAST_KNOWN: u32 = 470;

/// The rules of a zone, in the order of their numbers.
fn rules_of_zone() -> Vec<(u32, Rule)> {
    let refused = [
        libc::SYS_acct,
        libc::SYS_bpf,
        libc::SYS_clock_settime,
        libc::SYS_delete_module,
        libc::SYS_finit_module,
        libc::SYS_init_module,
        libc::SYS_ioperm,
        libc::SYS_iopl,
        libc::SYS_kexec_file_load,
        libc::SYS_kexec_load,
        libc::SYS_lookup_dcookie,
        libc::SYS_nfsservctl,
        libc::SYS_open_by_handle_at,
        libc::SYS_perf_event_open,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_settimeofday,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_syslog,
        libc::SYS_userfaultfd,
    ];
    let missing = [
        libc::SYS_add_key,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_request_key,
    ];
    let mut rules: Vec<(u32, Rule)> = Vec::new();
    rules.extend(refused.map(|number| (number as u32, Refuse(EPERM))));
    rules.extend(missing.map(|number| (number as u32, Refuse(ENOSYS))));
    rules.push((libc::SYS_clone as u32, NO_USER_NS));
    rules.push((libc::SYS_unshare as u32, NO_USER_NS));
    rules.push((libc::SYS_ioctl as u32, Requests));
    rules.push((libc::SYS_socket as u32, Families));
    rules.sort_by_key(|(number, _)| *number);
    rules
}

/// The rules of an environment, in the order of their numbers.
fn rules_of_environment() -> Vec<(u32, Rule)> {
    vec![
        // The kernel would ask for the capability over the host: the PID namespace is of the host's making.
        (libc::SYS_reboot as u32, HandOver),
        // Its flags lie in memory, where no filter sees them.
        (libc::SYS_clone3 as u32, Refuse(ENOSYS)),
    ]
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_BELOW: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
const USER_NOTIF: u32 = 0x7fc0_0000; // SECCOMP_RET_USER_NOTIF
const ERRNO: u32 = 0x0005_0000; // SECCOMP_RET_ERRNO
const ARCHITECTURE: u32 = 0xC000_003E; // AUDIT_ARCH_X86_64
const X32: u32 = 0x4000_0000; // __X32_SYSCALL_BIT

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> BpfInstruction {
    BpfInstruction { code, jt, jf, k }
}

const fn refuse(errno: u32) -> BpfInstruction {
    instruction(RETURN, 0, 0, ERRNO | errno)
}

const RETURN_ALLOW: BpfInstruction = instruction(RETURN, 0, 0, ALLOW);

/// Offset of the low half of an argument in `struct seccomp_data`, little-endian.
const fn low_half(argument: u32) -> u32 {
    16 + 8 * argument
}

fn leaf(rule: Rule) -> Vec<BpfInstruction> {
    match rule {
        Refuse(errno) => vec![refuse(errno)],
        HandOver => vec![instruction(RETURN, 0, 0, USER_NOTIF)],
        RefuseBits { argument, bits } => vec![
            instruction(LOAD, 0, 0, low_half(argument)),
            instruction(JUMP_BITS, 0, 1, bits),
            refuse(EPERM),
            RETURN_ALLOW,
        ],
        Requests => {
            let mut code = vec![instruction(LOAD, 0, 0, low_half(1))];
            code.extend(one_of(&INJECTION));
            code.extend([instruction(JUMP, 0, 0, 1), refuse(EPERM), instruction(AND, 0, 0, 0xFFFF)]);
            code.extend(one_of(&OTHER_MOUNTS));
            code.extend([RETURN_ALLOW, refuse(EPERM)]);
            code
        }
        Families => {
            let mut code = vec![instruction(LOAD, 0, 0, low_half(0))];
            // AF_NETLINK goes on to its protocol, the other families are allowed, the rest is refused.
            code.push(instruction(JUMP_EQUAL, FAMILIES.len() as u8 + 2, 0, 16));
            code.extend(one_of(&FAMILIES));
            code.extend([refuse(EAFNOSUPPORT), RETURN_ALLOW]);
            code.push(instruction(LOAD, 0, 0, low_half(2)));
            code.extend(one_of(&NETLINK_REFUSED));
            code.extend([RETURN_ALLOW, refuse(EAFNOSUPPORT)]);
            code
        }
    }
}

/// Compares with each value; a hit skips the rest and one instruction more.
fn one_of(values: &[u32]) -> impl Iterator<Item = BpfInstruction> + '_ {
    let count = values.len();
    values.iter().enumerate().map(move |(index, value)| instruction(JUMP_EQUAL, (count - index) as u8, 0, *value))
}

/// The tree over `rules`, which are sorted: each node asks one question, each leaf decides.
fn tree(rules: &[(u32, Rule)]) -> Vec<BpfInstruction> {
    if let [(number, rule)] = rules {
        let mut code = vec![instruction(JUMP_EQUAL, 1, 0, *number), RETURN_ALLOW];
        code.extend(leaf(*rule));
        return code;
    }
    let (low, high) = rules.split_at(rules.len() / 2);
    let (left, right) = (tree(low), tree(high));
    // The left half may be longer than a conditional jump reaches.
    let mut code = vec![instruction(JUMP_NOT_BELOW, 0, 1, high[0].0), instruction(JUMP, 0, 0, left.len() as u32)];
    code.extend(left);
    code.extend(right);
    code
}

/// The filter that zsched has loaded once for all of the zone, built once.
pub fn of_zone() -> &'static [BpfInstruction] {
    static FILTER: OnceLock<Vec<BpfInstruction>> = OnceLock::new();
    FILTER.get_or_init(|| {
        let mut code = native_only().to_vec();
        code.extend([
            // Above the last known number lie the new ones and, with its bit, the x32 interface.
            instruction(JUMP_NOT_BELOW, 0, 1, LAST_KNOWN + 1),
            refuse(ENOSYS),
        ]);
        const { assert!(X32 > LAST_KNOWN) };
        code.extend(tree(&rules_of_zone()));
        code
    })
}

/// The filter that each environment and login loads beside it, built once.
pub fn of_environment() -> &'static [BpfInstruction] {
    static FILTER: OnceLock<Vec<BpfInstruction>> = OnceLock::new();
    FILTER.get_or_init(|| {
        let mut code = native_only().to_vec();
        code.extend(tree(&rules_of_environment()));
        code
    })
}

/// Refuses the calls of other architectures, and leaves the call's number in the accumulator.
const fn native_only() -> [BpfInstruction; 4] {
    [
        instruction(LOAD, 0, 0, 4),
        instruction(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        refuse(ENOSYS),
        instruction(LOAD, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel makes of both filters: of these actions the lowest counts (seccomp(2)).
    fn run(architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let one = |filter| run_one(filter, architecture, number, arguments);
        one(of_zone()).min(one(of_environment()))
    }

    /// Runs a filter as the kernel would: the action for a call with these arguments.
    fn run_one(filter: &[BpfInstruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let BpfInstruction { code, jt, jf, k } = filter[at];
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            at += 1 + match code {
                LOAD => {
                    accumulator = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap());
                    0
                }
                JUMP => k as usize,
                AND => {
                    accumulator &= k;
                    0
                }
                JUMP_EQUAL => jump(accumulator == k),
                JUMP_NOT_BELOW => jump(accumulator >= k),
                JUMP_BITS => jump(accumulator & k != 0),
                RETURN => return k,
                other => panic!("instruction {other:#x}"),
            };
        }
    }

    fn native(number: i64, arguments: [u64; 6]) -> u32 {
        run(ARCHITECTURE, number as u32, arguments)
    }

    #[test]
    fn every_number_gets_what_its_rule_says() {
        for number in 0..=LAST_KNOWN {
            let action = run(ARCHITECTURE, number, [0; 6]);
            match rules_of_zone().iter().chain(&rules_of_environment()).find(|(ruled, _)| *ruled == number) {
                Some((_, Refuse(errno))) => assert_eq!(action, ERRNO | errno, "number {number}"),
                Some((_, Families)) => assert_eq!(action, ERRNO | EAFNOSUPPORT),
                Some((_, HandOver)) => assert_eq!(action, USER_NOTIF),
                _ => assert_eq!(action, ALLOW, "number {number}"),
            }
        }
        assert_eq!(run(ARCHITECTURE, LAST_KNOWN + 1, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(run(ARCHITECTURE, X32 | 1, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(run(0x4000_0003, 1, [0; 6]), ERRNO | ENOSYS);
    }

    #[test]
    fn arguments_decide_where_a_rule_says_so() {
        let user_ns = libc::CLONE_NEWUSER as u64;
        assert_eq!(native(libc::SYS_unshare, [user_ns | 1, 0, 0, 0, 0, 0]), ERRNO | EPERM);
        assert_eq!(native(libc::SYS_clone, [user_ns, 0, 0, 0, 0, 0]), ERRNO | EPERM);
        assert_eq!(native(libc::SYS_clone, [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(native(libc::SYS_ioctl, [0, 0x5412, 0, 0, 0, 0]), ERRNO | EPERM);
        assert_eq!(native(libc::SYS_ioctl, [0, 0x5413, 0, 0, 0, 0]), ALLOW);
        for size in [16u64, 24, 64] {
            for number in [0xB70Bu64, 0xB70C] {
                let request = 2 << 30 | size << 16 | number;
                assert_eq!(native(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]), ERRNO | EPERM, "{request:#x}");
            }
        }
        assert_eq!(native(libc::SYS_ioctl, [0, 0xB703, 0, 0, 0, 0]), ALLOW, "NS_GET_NSTYPE");
        for family in 0..50u64 {
            let expected = if FAMILIES.contains(&(family as u32)) { ALLOW } else { ERRNO | EAFNOSUPPORT };
            assert_eq!(native(libc::SYS_socket, [family, 1, 0, 0, 0, 0]), expected, "family {family}");
        }
        assert_eq!(native(libc::SYS_socket, [16, 3, 6, 0, 0, 0]), ERRNO | EAFNOSUPPORT);
        assert_eq!(native(libc::SYS_socket, [16, 3, 0, 0, 0, 0]), ALLOW);
    }
}
