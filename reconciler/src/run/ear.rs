//! Waiting on a descriptor without a thread.

use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that can be waited on. It has a descriptor of its own, so that it lives as long as it waits.
pub struct Ear(AsyncFd<OwnedFd>, Interest);

impl Ear {
    /// Waits until what `of` refers to can be read; none where the kernel or the runtime has no room for it.
    pub fn new(of: &impl AsFd) -> Option<Self> {
        Self::with(of, Interest::READABLE)
    }

    /// Waits for exceptional conditions (`POLLPRI`): files of /proc and of cgroups that changed.
    pub fn urgent(of: &impl AsFd) -> Option<Self> {
        Self::with(of, Interest::PRIORITY)
    }

    #[expect(
        deprecated,
        reason = "the replacement is unsafe for the sake of types that change their descriptor; OwnedFd does not"
    )]
    fn with(of: &impl AsFd, interest: Interest) -> Option<Self> {
        let fd = of.as_fd().try_clone_to_owned().ok()?;
        AsyncFd::with_interest(fd, interest).ok().map(|fd| Self(fd, interest))
    }

    /// Returns when there is something; never, if there is no way to know.
    pub async fn heard(ear: Option<&Self>) {
        let ready = match ear {
            Some(ear) => ear.0.ready(ear.1).await,
            None => return std::future::pending().await,
        };
        match ready {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }
}
