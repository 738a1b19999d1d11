//! Who sits at the terminal, for what is written down of what people do.

/// The name of who gave the command: who sudo(8) says it was, or else the user of the login session, or of this process.
/// None where none of these is known.
pub fn who() -> Option<String> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    named("SUDO_USER").or_else(session).or_else(|| named("USER"))
}

/// The user of the login session (proc(5), `loginuid`), by name where /etc/passwd has one.
fn session() -> Option<String> {
    let uid = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    let uid = uid.trim();
    if uid == u32::MAX.to_string() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    };
    Some(users.lines().find_map(of).unwrap_or_else(|| format!("uid {uid}")))
}
