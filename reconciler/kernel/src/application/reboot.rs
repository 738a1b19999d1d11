//! reboot(2) inside a zone. The kernel asks for CAP_SYS_BOOT over the user namespace that owns the PID namespace, which
//! here is the host's; so the zone's filter hands the call over, and zsched decides by the same rules (reboot(2)).

use crate::error::Result;
use crate::sys::{self, HandedCall};
use crate::wire::EndOfInit;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::CapabilitySet;

const MAGIC: u32 = 0xfee1_dead;
const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
const RESTART: u32 = 0x0123_4567;
const RESTART2: u32 = 0xA1B2_C3D4;
const HALT: u32 = 0xCDEF_0123;
const POWER_OFF: u32 = 0x4321_FEDC;

/// Hears one call. What the caller asks for of its zone, when it may and the zone is `running`; everybody else is refused.
/// Who is not refused is left waiting: it ends with its application environment.
///
/// # Errors
/// ENOENT when the caller was killed meanwhile.
pub fn hear(listener: BorrowedFd<'_>, running: bool) -> Result<Option<EndOfInit>> {
    let call = sys::receive_call(listener)?;
    match judge(&call).and_then(|end| if running { Ok(end) } else { Err(Errno::PERM) }) {
        Ok(end) if sys::still_waits(listener, &call) => Ok(Some(end)),
        Ok(_) => Ok(None),
        Err(errno) => {
            sys::answer_call(listener, &call, Some(errno));
            Ok(None)
        }
    }
}

fn judge(call: &HandedCall) -> std::result::Result<EndOfInit, Errno> {
    let [magic, magic2, command, ..] = call.arguments.map(|argument| argument as u32);
    // A process that is not to be seen from here has number 0, which would be the caller itself.
    let pid = i32::try_from(call.pid).ok().and_then(Pid::from_raw).ok_or(Errno::PERM)?;
    let held = rustix::thread::capabilities(Some(pid)).map_err(|_| Errno::PERM)?;
    if !held.effective.contains(CapabilitySet::SYS_BOOT) {
        return Err(Errno::PERM);
    }
    if magic != MAGIC || !MAGIC2.contains(&magic2) {
        return Err(Errno::INVAL);
    }
    match command {
        RESTART | RESTART2 => Ok(EndOfInit::RebootInside),
        HALT | POWER_OFF => Ok(EndOfInit::PoweroffInside),
        _ => Err(Errno::INVAL),
    }
}
