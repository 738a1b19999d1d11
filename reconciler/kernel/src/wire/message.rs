//! The messages: what the controller asks of zoneadmd, what zoneadmd asks of zsched, and what each answers.

use super::codec::{Hidden, fields, variants};

fields! {
    /// Everything that `ready` needs to know of a zone, resolved: zoneadmd looks nothing up and parses no text.
    pub struct PlatformSpec {
        /// The zone's name.
        pub zone: String,
        /// The zone ID (seed [0045]), from 1.
        pub zone_id: u32,
        /// The zone's run folder, 0700, for the sockets and the console's log.
        pub run_folder: String,
        /// The zone's cgroup, absolute; its parent exists.
        pub cgroup: String,
        /// The zone's folder, 0700, with `root`, `upper` and `work` in it.
        pub zonepath: String,
        /// Whether the host's /usr is shared into the zone, read-only.
        pub host_usr: bool,
        /// First host user and group ID of the zone's range.
        pub id_base: u32,
        /// How many IDs the range has.
        pub id_count: u32,
        /// The zone's host name.
        pub hostname: String,
        /// IFLA_IFALIAS of the host ends, by which they are known.
        pub alias: String,
        /// The configured file systems, in order.
        pub file_systems: Vec<FileSystem>,
        /// The network interfaces, in order.
        pub links: Vec<Link>,
        /// The limits, written as the last step.
        pub controls: Vec<Control>,
        /// Size limit in bytes of each tmpfs the platform makes for the zone (/dev/shm, /run).
        pub tmpfs_bytes: u64,
    }
}

variants! {
    /// What a configured file system is.
    pub enum FileSystemKind {
        /// A folder or file of the global zone (special), shared: lofs of zonecfg.
        Loopback(special: String) = 1,
        /// An empty memory file system of at most so many bytes and this mode.
        Tmpfs(bytes: u64, mode: u32) = 2,
    }
}

fields! {
    /// One `fs` resource.
    pub struct FileSystem {
        /// Where in the zone, absolute.
        pub dir: String,
        /// What.
        pub kind: FileSystemKind,
        /// `MOUNT_ATTR_*` of the mount.
        pub attributes: u64,
    }
}

fields! {
    /// One `net` resource: a veth pair with its host end in a bridge.
    pub struct Link {
        /// The bridge; made when it is missing.
        pub bridge: String,
        /// IFLA_IFALIAS of a bridge that Reeve makes.
        pub bridge_alias: String,
        /// Address (text) and prefix length that a bridge which Reeve makes gets, if any.
        pub bridge_address: Option<(String, u8)>,
        /// Name of the host end, unique for this incarnation of the zone.
        pub host_name: String,
        /// Name of the zone end.
        pub zone_name: String,
        /// MAC address of the zone end: six bytes, or empty for the kernel's choice.
        pub mac: Vec<u8>,
        /// Address (text) and prefix length in the zone.
        pub address: Option<(String, u8)>,
        /// Default router (text).
        pub router: Option<String>,
    }
}

fields! {
    /// One limit: a file of the zone's cgroup and what is written into it.
    pub struct Control {
        /// The file, such as `memory.max`.
        pub file: String,
        /// The value, as the kernel takes it.
        pub value: String,
    }
}

variants! {
    /// What runs as init.
    pub enum Program {
        /// Reeve's own init, which reaps, forwards signals and runs this command (none: it only reaps).
        Command(argv: Vec<String>) = 1,
        /// An init of the zone's root, with its arguments.
        Init(argv: Vec<String>) = 2,
    }
}

fields! {
    /// The application environment to start.
    pub struct InitSpec {
        /// What to run.
        pub program: Program,
        /// Environment, as NAME=VALUE.
        pub environment: Hidden,
    }
}

fields! {
    /// A command to run in the zone for somebody who is logged in.
    pub struct LoginSpec {
        /// The command and its arguments; the first is an absolute path.
        pub argv: Vec<String>,
        /// Environment, as NAME=VALUE.
        pub environment: Vec<String>,
        /// Whether a pseudo-terminal of the zone is wanted; without it the three standard streams come as descriptors.
        pub terminal: bool,
        /// Rows and columns of the terminal.
        pub size: (u16, u16),
    }
}

variants! {
    /// How an init or a login ended, as its parent's wait saw it.
    pub enum EndOfInit {
        /// exit(status).
        Exited(status: i32) = 1,
        /// Killed by this signal.
        Signaled(signal: i32) = 2,
        /// reboot(2) with RESTART inside the zone.
        RebootInside = 3,
        /// reboot(2) with HALT or POWER_OFF inside the zone.
        PoweroffInside = 4,
    }
}

variants! {
    /// A sub-step of `ready` (T8) or `halt` (T9), in the order of the seed, [0045] and [0067].
    pub enum StepName {
        /// zoneadmd is started (the controller's own step).
        Zoneadmd = 1,
        /// The zone ID is given (the controller's own step).
        ZoneId = 2,
        /// zsched is started, with the namespaces.
        Zsched = 3,
        /// File systems are mounted.
        FileSystems = 4,
        /// Network interfaces are plumbed.
        Network = 5,
        /// Devices and console.
        Devices = 6,
        /// Limits are written and read back.
        ResourceControls = 7,
        /// halt: every process of the zone is killed.
        KillProcesses = 8,
        /// halt: devices and console go.
        UnconfigureDevices = 9,
        /// halt: host ends down, addresses and routes gone.
        Unplumb = 10,
        /// halt: file systems are unmounted.
        Unmount = 11,
        /// halt: zsched ends, the namespaces, links and cgroups are gone.
        Destroy = 12,
        /// boot: the application environment is made and init has exec'd.
        Init = 13,
        /// stop: init is asked to end, then killed.
        StopInit = 14,
    }
}

impl StepName {
    /// The step's name as status, plan and log print it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Zoneadmd => "zoneadmd",
            Self::ZoneId => "zoneId",
            Self::Zsched => "zsched",
            Self::FileSystems => "fileSystems",
            Self::Network => "network",
            Self::Devices => "devices",
            Self::ResourceControls => "resourceControls",
            Self::KillProcesses => "killProcesses",
            Self::UnconfigureDevices => "unconfigureDevices",
            Self::Unplumb => "unplumb",
            Self::Unmount => "unmount",
            Self::Destroy => "destroy",
            Self::Init => "init",
            Self::StopInit => "stopInit",
        }
    }
}

fields! {
    /// Where a platform that is up is found.
    pub struct Adoption {
        /// The zone's name.
        pub zone: String,
        /// The zone's run folder.
        pub run_folder: String,
        /// The zone's cgroup.
        pub cgroup: String,
        /// IFLA_IFALIAS of its host ends.
        pub alias: String,
        /// A halt has begun: nothing may be started in the zone any more.
        pub halting: bool,
    }
}

fields! {
    /// How a zone is to be halted.
    pub struct HaltOrder {
        /// What init is asked to end with.
        pub signal: i32,
        /// Milliseconds until it is killed.
        pub timeout: u32,
        /// Detach mounts that are busy instead of failing (MNT_DETACH). Only on a person's word.
        pub detach: bool,
        /// What must be gone at the end, as recorded when the platform was made.
        pub traces: Traces,
    }
}

impl PlatformSpec {
    /// The mark of the platform's file systems: whose and which incarnation's they are.
    pub fn mark(&self) -> String {
        Traces::mark(&self.alias, self.zone_id)
    }
}

impl Traces {
    /// The mark of the file systems of a zone with this alias and ID.
    pub fn mark(alias: &str, zone_id: u32) -> String {
        format!("{alias}:{zone_id}")
    }

    /// No traces of file systems with this mark.
    pub fn none(mark: String) -> Self {
        Self { mark, superblocks: Vec::new(), namespaces: Vec::new() }
    }
}

fields! {
    /// What tells whether anything of a platform lives on after its zsched.
    pub struct Traces {
        /// What the zone's file systems say that they are made from.
        pub mark: String,
        /// Those of them that store something, by st_dev.
        pub superblocks: Vec<u64>,
        /// Handles of its namespaces, as text.
        pub namespaces: Vec<String>,
    }
}

variants! {
    /// What the controller (or a command) asks of zoneadmd. Descriptors that go with it are named at each.
    pub enum Request {
        /// Bring the virtual platform up.
        Ready(spec: PlatformSpec) = 1,
        /// Take over a platform that is up, or what is left of one.
        Adopt(platform: Adoption) = 2,
        /// Start the application environment.
        Boot(init: InitSpec) = 3,
        /// End the application environment: signal, and milliseconds until it is killed.
        Stop(signal: i32, timeout: u32) = 4,
        /// Stop and boot as one request.
        Restart(signal: i32, timeout: u32, init: InitSpec) = 5,
        /// End the application environment as Stop does, then take the platform down. zoneadmd ends after the answer Done;
        /// after any other it stays, and starts nothing in the zone any more.
        Halt(order: HaltOrder) = 6,
        /// Write these limits and read them back.
        SetControls(controls: Vec<Control>) = 7,
        /// Run a command in the zone. Without a terminal, three descriptors go with it.
        Login(login: LoginSpec) = 8,
        /// What is there.
        Status = 9,
        /// To one that was started without a zone, before anything else: it is the zoneadmd of this one. A descriptor goes with
        /// it: the file for what it has to say for itself. There is no answer, unless it fails.
        Become(zone: String) = 10,
    }
}

fields! {
    /// What a zoneadmd knows of its zone.
    pub struct Snapshot {
        /// Host process ID of zsched, 0 when there is none.
        pub zsched: i32,
        /// Host process ID of init, 0 when there is none.
        pub init: i32,
        /// Number of the last application environment, from 1; 0 before the first.
        pub environment: u32,
        /// How the last one ended, once it has, and when: milliseconds since 1970-01-01T00:00:00Z.
        pub last_end: Option<(EndOfInit, u64)>,
    }
}

variants! {
    /// What zoneadmd answers. Every request but Become ends in exactly one of Done, Failed, LoggedIn and LoginEnded; steps come
    /// before.
    pub enum Reply {
        /// A sub-step was done, in so many microseconds.
        Step(step: StepName, micros: u32) = 1,
        /// The request is done, and with it these sub-steps that were not told before.
        Done(now: Snapshot, steps: Vec<(StepName, u32)>) = 2,
        /// The request failed in this step: the call, its arguments, its errno (0: none) and the reason in words.
        Failed(step: StepName, call: String, args: String, errno: i32, reason: String) = 3,
        /// A login runs; its number. With a terminal, the master's descriptor goes with it.
        LoggedIn(login: u32) = 4,
        /// A login has ended.
        LoginEnded(login: u32, end: EndOfInit) = 5,
        /// Something happened that nobody asked for.
        Happened(event: Event) = 6,
        /// These mounts were busy and are detached.
        Detached(mounts: Vec<String>) = 7,
    }
}

variants! {
    /// What zoneadmd tells of its own accord.
    pub enum Event {
        /// The application environment numbered so ended by itself.
        InitEnded(environment: u32, end: EndOfInit) = 1,
        /// zsched is gone, and with it every process of the zone.
        ZschedGone = 2,
    }
}

variants! {
    /// What zoneadmd asks of zsched.
    pub enum ZschedRequest {
        /// Mount the file systems.
        FileSystems = 1,
        /// Give the zone's ends their addresses and routes.
        Network = 2,
        /// Make /dev and the console.
        Devices = 3,
        /// The platform stands: from now on survive without a zoneadmd.
        Established = 4,
        /// Start the application environment numbered so in the cgroup whose descriptor goes with it.
        Boot(number: u32, init: InitSpec) = 5,
        /// Start a login in the cgroup whose descriptor goes with it, before the three standard streams if any.
        Login(number: u32, login: LoginSpec) = 6,
        /// Forget the console's peer and empty /dev.
        UnconfigureDevices = 7,
        /// Take the addresses and routes away.
        Unplumb = 8,
        /// Unmount every file system of the zone, innermost first; those that are busy are detached, if `detach` says so.
        Unmount(detach: bool) = 9,
        /// End.
        Exit = 10,
        /// Say what is there. Console master and, when there is one, init's pidfd go with the answer.
        Hello = 11,
        /// The next application environment will be the one numbered so, in the cgroup whose descriptor goes with it: make it up to
        /// the execution of its init. Not answered; what cannot be made now is made by the Boot, which then says why not.
        Next(number: u32) = 12,
        /// As Boot, when the init that runs has ended; nothing, where none runs. Not answered: Restarted tells of it then, or
        /// InitEnded where nothing could be started.
        BootAfter(number: u32, init: InitSpec) = 13,
        /// Start nothing when init has ended.
        Forget = 14,
    }
}

fields! {
    /// What zsched holds.
    pub struct Held {
        /// Whether an init runs.
        pub init: bool,
        /// Number of the last application environment, from 1; 0 before the first.
        pub environment: u32,
        /// How the last one ended, once it has, and when: milliseconds since 1970-01-01T00:00:00Z.
        pub last_end: Option<(EndOfInit, u64)>,
        /// First host ID of the zone's range.
        pub id_base: u32,
    }
}

variants! {
    /// What zsched answers, and what it tells of its own accord.
    pub enum ZschedReply {
        /// Done.
        Done = 1,
        /// Failed: call, arguments, errno (0: none), reason.
        Failed(call: String, args: String, errno: i32, reason: String) = 2,
        /// Started; the pidfd goes with it, and for a login with a terminal the master.
        Started = 3,
        /// The application environment ended.
        InitEnded(end: EndOfInit) = 4,
        /// A login ended.
        LoginEnded(number: u32, end: EndOfInit) = 5,
        /// Answer to Hello.
        Here(zone: Held) = 6,
        /// Everything is unmounted; these mounts were busy and are detached.
        Unmounted(detached: Vec<String>) = 7,
        /// What waited to become the init of the environment numbered so was ended. Its cgroup may have been killed, and kill
        /// whatever comes into it.
        NextEnded(number: u32) = 8,
        /// The application environment ended, so many microseconds after BootAfter, and the next one is started; init's pidfd goes
        /// with it.
        Restarted(end: EndOfInit, micros: u32) = 9,
    }
}
