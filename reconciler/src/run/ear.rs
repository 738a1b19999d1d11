//! Waiting on a descriptor without a thread.

use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that can be waited on. It has a descriptor of its own, so that it lives as long as it waits.
pub struct Ear(AsyncFd<OwnedFd>);

impl Ear {
    /// Waits on what `of` refers to; none where the kernel or the runtime has no room for it.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe for the sake of types that change their descriptor; OwnedFd does not"
    )]
    pub fn new(of: &impl AsFd) -> Option<Self> {
        let fd = of.as_fd().try_clone_to_owned().ok()?;
        AsyncFd::with_interest(fd, Interest::READABLE).ok().map(Self)
    }

    /// Returns when something can be read; never, if there is no way to know.
    pub async fn heard(ear: Option<&Self>) {
        let ready = match ear {
            Some(ear) => ear.0.readable().await,
            None => return std::future::pending().await,
        };
        match ready {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }
}
