//! Real git servers in a network namespace of their own, with a bridge to which hosts are plugged: ssh (openssh-server's
//! sshd) and https (lighttpd with git-http-backend; a certificate made for it, and a token). Needs openssl and iproute2 too.

use super::git::{Repo, Signer, fed};
use reeve_kernel::sys;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The address of the servers; hosts have others in 10.99.0.0/24.
pub const ADDRESS: &str = "10.99.0.1";
/// What opens the repository over https.
pub const TOKEN: &str = "a-token-for-the-test";

/// Both servers, and the repository that they serve.
pub struct Servers {
    folder: PathBuf,
    /// `fleet.git`, bare.
    pub repo: Repo,
    children: Vec<Child>,
}

impl Servers {
    /// Starts them. The calling thread moves into their network namespace.
    pub fn start(name: &str) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/reeve-test-{name}-servers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        sys::unshare(sys::flags::NEWNET).expect("a network namespace for the servers");
        for words in ["link set lo up", "link add br0 type bridge", "link set br0 up", "addr add 10.99.0.1/24 dev br0"]
        {
            ip(words);
        }
        let repo = Repo::new(&folder.join("git/fleet.git"));
        repo.git(&["config", "http.receivepack", "true"]);
        let mut servers = Self { folder, repo, children: Vec::new() };
        servers.start_ssh();
        servers.start_https();
        servers
    }

    fn start_ssh(&mut self) {
        let host_key = Signer::ssh(&self.folder, "host_key", "ed25519");
        let user_key = Signer::ssh(&self.folder, "user_key", "ed25519");
        self.write("authorized_keys", &(user_key.public() + "\n"));
        self.write("known_hosts", &format!("{ADDRESS} {}\n", host_key.public()));
        let folder = self.folder.display();
        let configuration = format!(
            "ListenAddress {ADDRESS}:22\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             MaxStartups 100\nPrintMotd no\n"
        );
        self.write("sshd_config", &configuration);
        // sshd wants its folder in /run, and gets one that nobody else sees.
        let script =
            "mount -t tmpfs reeve-test /run && mkdir -m 755 /run/sshd && exec \"$(command -v sshd)\" -D -e -f \"$1\"";
        let mut sshd = Command::new("unshare");
        sshd.args(["--mount", "/bin/sh", "-c", script, "sh"]).arg(self.folder.join("sshd_config"));
        self.spawn(sshd, "sshd.log", 22);
    }

    fn start_https(&mut self) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=fleet", "-addext", &format!("subjectAltName=IP:{ADDRESS}")]);
        fed(openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&self.folder), b"");
        let (folder, backend) =
            (self.folder.display(), format!("{}/git-http-backend", self.repo.git(&["--exec-path"])));
        self.write("users", &format!("git:{TOKEN}\n"));
        self.write("token", &format!("{TOKEN}\n"));
        let configuration = format!(
            r#"server.document-root = "{folder}/git"
server.port = 443
server.bind = "{ADDRESS}"
server.modules = ("mod_openssl", "mod_alias", "mod_auth", "mod_authn_file", "mod_cgi", "mod_setenv")
server.upload-dirs = ("{folder}")
ssl.engine = "enable"
ssl.pemfile = "{folder}/cert.pem"
ssl.privkey = "{folder}/key.pem"
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ("/" => ("method" => "basic", "realm" => "fleet", "require" => "valid-user"))
alias.url += ("/git" => "{backend}")
$HTTP["url"] =~ "^/git" {{
  cgi.assign = ("" => "")
  setenv.set-environment = ("GIT_PROJECT_ROOT" => "{folder}/git", "GIT_HTTP_EXPORT_ALL" => "")
}}
"#
        );
        self.write("lighttpd.conf", &configuration);
        let mut lighttpd = Command::new("lighttpd");
        lighttpd.arg("-D").arg("-f").arg(self.folder.join("lighttpd.conf"));
        self.spawn(lighttpd, "lighttpd.log", 443);
    }

    fn spawn(&mut self, mut command: Command, log: &str, port: u16) {
        let path = std::env::var("PATH").unwrap_or_default();
        let file = std::fs::File::create(self.folder.join(log)).expect("a log");
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("dup")).stderr(file);
        self.children.push(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect((ADDRESS, port)).is_err() {
            let said = || std::fs::read_to_string(self.folder.join(log)).unwrap_or_default();
            assert!(Instant::now() < deadline, "nobody listens at {port}: {}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.join(file), text).expect("write");
    }

    /// A file of the servers' folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The address over ssh, and the lines of `source` that open it.
    pub fn ssh(&self) -> (String, Vec<String>) {
        let files = [("identityFile", "user_key"), ("knownHostsFile", "known_hosts")];
        let files = files.map(|(key, file)| format!("{key}: {}", self.file(file).display()));
        (format!("ssh://root@{ADDRESS}{}", self.repo.path().display()), vec![format!("ssh: {{{}}}", files.join(", "))])
    }

    /// The address over https, and the lines of `source` that open it.
    pub fn https(&self) -> (String, Vec<String>) {
        let files = [("caFile", "cert.pem"), ("tokenFile", "token")];
        let files = files.map(|(key, file)| format!("{key}: {}", self.file(file).display()));
        (format!("https://{ADDRESS}/git/fleet.git"), vec![format!("https: {{{}}}", files.join(", "))])
    }

    /// Pushes `main` of another repository to the server, as people do.
    pub fn push(&self, from: &Repo, url: &str) {
        let output = self.try_push(from, url, "main:main");
        assert!(output.status.success(), "push to {url}: {}", super::shown(&output));
    }

    /// The same with what is pushed where; what git and the server say of it.
    pub fn try_push(&self, from: &Repo, url: &str, what: &str) -> Output {
        let ssh = format!(
            "ssh -F none -o IdentitiesOnly=yes -o BatchMode=yes -i {} -o UserKnownHostsFile={}",
            self.file("user_key").display(),
            self.file("known_hosts").display()
        );
        let certificate = format!("http.sslCAInfo={}", self.file("cert.pem").display());
        let helper = format!("credential.helper=!f() {{ echo username=git; echo password={TOKEN}; }}; f");
        let mut git = self.enter();
        git.args(["git", "-c", &certificate, "-c", &helper, "push", "--quiet", url, what]);
        git.current_dir(from.path()).env("GIT_DIR", from.path()).env("GIT_SSH_COMMAND", ssh);
        ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"].iter().for_each(|name| {
            git.env_remove(name);
        });
        git.env_remove("GIT_SSL_CAINFO").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        git.stdin(Stdio::null()).output().expect("nsenter")
    }

    /// Has the server run this shell script after each push.
    pub fn after_push(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let hook = self.repo.path().join("hooks/post-receive");
        std::fs::create_dir_all(hook.parent().expect("hooks")).expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        std::fs::write(&hook, format!("#!/bin/sh\nPATH={path}\ncat > /dev/null\n{script}\n")).expect("a hook");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// Runs a shell script where the servers are.
    pub fn run(&self, script: &str) {
        fed(self.enter().args(["/bin/sh", "-c", script]), b"");
    }

    /// `nsenter` into the servers' network.
    fn enter(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", self.children[0].id()));
        nsenter
    }

    fn ip(&self, words: &str) {
        fed(self.enter().arg("ip").args(words.split(' ')), b"");
    }

    /// Plugs the calling thread's network namespace to the servers', with this last byte of its address.
    pub fn plug(&self, last: u8) {
        let server = self.children[0].id();
        ip(&format!("link add eth0 type veth peer name v{last} netns {server}"));
        ip(&format!("addr add 10.99.0.{last}/24 dev eth0"));
        ip("link set eth0 up");
        self.ip(&format!("link set v{last} master br0 up"));
    }

    /// Cuts a host's link, or heals it.
    pub fn link(&self, last: u8, up: bool) {
        self.ip(&format!("link set v{last} {}", if up { "up" } else { "down" }));
    }

    /// Takes a host's link away.
    pub fn unplug(&self, last: u8) {
        self.ip(&format!("link del v{last}"));
    }
}

fn ip(words: &str) {
    fed(Command::new("ip").args(words.split(' ')), b"");
}

impl Drop for Servers {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["sshd.log", "lighttpd.log"] {
                eprintln!("--- {log}\n{}", std::fs::read_to_string(self.folder.join(log)).unwrap_or_default());
            }
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all::<&Path>(&self.folder);
    }
}
