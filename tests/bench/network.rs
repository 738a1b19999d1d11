//! What gives a container of crun or runc its network: iproute2, in as few calls as it takes (it reads any number of
//! commands from a file).

use crate::Result;
use crate::spawn::Program;
use std::path::Path;

/// The bridge of the peers' containers.
pub const BRIDGE: &str = "benchpeers";

/// The network namespace of one container.
pub struct Netns {
    /// Its name.
    pub name: String,
    make: Program,
    configure: Program,
    remove: Program,
}

/// Makes the bridge.
pub fn make_bridge() -> Result<()> {
    Program::new("ip", &["link", "add", BRIDGE, "type", "bridge"])?.run()?;
    Program::new("ip", &["addr", "add", "10.202.255.254/16", "dev", BRIDGE])?.run()?;
    Program::new("ip", &["link", "set", BRIDGE, "up"])?.run()
}

impl Netns {
    /// A namespace with a veth into the bridge, an address and a default route; not made yet.
    pub fn new(name: &str, address: u16) -> Result<Self> {
        let [high, low] = address.to_be_bytes();
        let (host, folder) = (format!("bp{address}"), Path::new("/run/bench/ip"));
        std::fs::create_dir_all(folder)?;
        let make = format!(
            "netns add {name}\nlink add {host} type veth peer name net0 netns {name}\n\
             link set {host} master {BRIDGE} up\n"
        );
        let configure = format!(
            "addr add 10.202.{high}.{low}/16 dev net0\nlink set net0 up\nlink set lo up\n\
             route add default via 10.202.255.254\n"
        );
        let file = |part: &str, text: &str| -> Result<String> {
            let path = folder.join(format!("{name}.{part}"));
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let make = file("make", &make)?;
        let configure = file("configure", &configure)?;
        Ok(Self {
            name: name.to_owned(),
            make: Program::new("ip", &["-batch", &make])?,
            configure: Program::new("ip", &["-netns", name, "-batch", &configure])?,
            remove: Program::new("ip", &["netns", "del", name])?,
        })
    }

    /// Makes it.
    pub fn make(&self) -> Result<()> {
        self.make.run()?;
        self.configure.run()
    }

    /// Removes it. The kernel takes the veth away some 20 ms later, which is not waited for.
    pub fn remove(&self) -> Result<()> {
        self.remove.run()
    }
}
