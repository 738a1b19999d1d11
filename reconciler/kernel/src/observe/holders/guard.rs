//! Looks that may wait for somebody else: a file system whose server does not answer, a process that keeps its memory
//! map locked. They run in a thread beside the caller's; one that is stuck is left behind and told, and the rest goes on
//! in another. A thread that the kernel holds cannot be ended from outside, so how many may be left is bounded.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one job may be without a [`beat`] before it counts as stuck. Between two there are a few system calls on
/// /proc, a millisecond at most.
const STUCK_AFTER: Duration = Duration::from_millis(300);

/// How many threads may be stuck at a time, over all looks of this process.
const STUCK_MAX: usize = 8;

/// The jobs that threads of earlier looks are still stuck in. They are passed over until the thread has come back.
static STUCK: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// In a thread of a look: how often it has told that it goes on, and when the look has to end.
    static PULSE: RefCell<Option<(Arc<AtomicU64>, Instant)>> = const { RefCell::new(None) };
}

/// Tells that the job goes on. False when the look has to end: the job then says what it leaves out.
pub(super) fn beat() -> bool {
    PULSE.with_borrow(|pulse| {
        let Some((count, until)) = pulse else { return true };
        count.fetch_add(1, Ordering::Relaxed);
        Instant::now() < *until
    })
}

/// One look: what it is at, for telling and to know it again, and the doing.
pub(super) struct Job<T> {
    pub what: String,
    pub work: Box<dyn FnOnce() -> T + Send>,
}

enum Message<T> {
    Began(String),
    Done(T),
    /// A thread of an earlier look is still at it.
    Passed(String),
}

type Queue<T> = Arc<Mutex<VecDeque<Job<T>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the jobs one after the other and hands each result to `take`, until `until`. What was not looked at, and why, is
/// added to `unread`.
pub(super) fn run<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    until: Instant,
    unread: &mut Vec<String>,
    mut take: impl FnMut(T),
) {
    let queue: Queue<T> = Arc::new(Mutex::new(jobs.into()));
    while follow(&queue, until, unread, &mut take) {}
    let left = lock(&queue).len();
    if left > 0 {
        let next = lock(&queue).pop_front().map(|job| job.what).unwrap_or_default();
        unread.push(format!("{next} and {} more: the look had taken long enough", left - 1));
        lock(&queue).clear();
    }
}

/// Starts a thread and follows it to its end; true when it got stuck and another has to go on.
fn follow<T: Send + 'static>(
    queue: &Queue<T>,
    until: Instant,
    unread: &mut Vec<String>,
    take: &mut impl FnMut(T),
) -> bool {
    if lock(&STUCK).len() >= STUCK_MAX {
        unread.push(format!("{STUCK_MAX} earlier looks are still waiting for the kernel"));
        return false;
    }
    let (sender, receiver) = channel();
    let (theirs, pulse) = (Arc::clone(queue), Arc::new(AtomicU64::new(0)));
    let beats = Arc::clone(&pulse);
    let body = move || {
        PULSE.set(Some((beats, until)));
        work(&theirs, until, &sender);
    };
    let started = std::thread::Builder::new().name("look".to_owned()).spawn(body);
    if let Err(error) = started {
        unread.push(format!("clone3(a thread to look with): {error}"));
        return false;
    }
    receive(&receiver, &pulse, unread, take)
}

fn receive<T>(
    receiver: &Receiver<Message<T>>,
    pulse: &AtomicU64,
    unread: &mut Vec<String>,
    take: &mut impl FnMut(T),
) -> bool {
    let (mut current, mut beats) = (None, 0);
    loop {
        match receiver.recv_timeout(STUCK_AFTER) {
            Ok(Message::Began(what)) => current = Some(what),
            Ok(Message::Done(found)) => {
                current = None;
                take(found);
            }
            Ok(Message::Passed(what)) => unread.push(format!("{what}: an earlier look is still waiting for it")),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {
                let so_far = pulse.load(Ordering::Relaxed);
                if std::mem::replace(&mut beats, so_far) != so_far {
                    continue;
                }
                // Without a job begun the thread has not been given the processor yet.
                let Some(what) = current.take() else { continue };
                let mut stuck = lock(&STUCK);
                // The thread sends its result under this lock: either it is here now, or the thread will see its mark.
                if let Ok(Message::Done(found)) = receiver.try_recv() {
                    take(found);
                    continue;
                }
                unread.push(format!("{what}: no answer within {} ms", STUCK_AFTER.as_millis()));
                stuck.insert(what);
                return true;
            }
        }
    }
}

fn work<T>(queue: &Queue<T>, until: Instant, sender: &Sender<Message<T>>) {
    while Instant::now() < until {
        let Some(job) = lock(queue).pop_front() else { return };
        if lock(&STUCK).contains(&job.what) {
            if sender.send(Message::Passed(job.what)).is_err() {
                return;
            }
            continue;
        }
        if sender.send(Message::Began(job.what.clone())).is_err() {
            lock(queue).push_front(job);
            return;
        }
        let found = (job.work)();
        let mut stuck = lock(&STUCK);
        stuck.remove(&job.what);
        if sender.send(Message::Done(found)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(what: &str, work: impl FnOnce() -> u32 + Send + 'static) -> Job<u32> {
        Job { what: what.to_owned(), work: Box::new(work) }
    }

    fn all(jobs: Vec<Job<u32>>, within: Duration) -> (Vec<u32>, Vec<String>) {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        run(jobs, Instant::now() + within, &mut unread, |one| found.push(one));
        (found, unread)
    }

    #[test]
    fn one_that_is_stuck_is_told_and_the_rest_is_done() {
        let (release, held) = channel::<()>();
        let (returned, back) = channel();
        let stuck = move || {
            let _ = held.recv();
            returned.send(()).unwrap();
            2
        };
        let jobs = vec![job("guard one", || 1), job("guard two", stuck), job("guard three", || 3)];
        let (found, unread) = all(jobs, Duration::from_secs(60));
        assert_eq!((found, unread), (vec![1, 3], vec!["guard two: no answer within 300 ms".to_owned()]));
        // While it is stuck, it is not tried again.
        let (found, unread) = all(vec![job("guard two", || 4), job("guard five", || 5)], Duration::from_secs(60));
        assert_eq!((found, unread.len()), (vec![5], 1), "{unread:?}");
        drop(release);
        back.recv().unwrap();
        while lock(&STUCK).contains("guard two") {
            std::thread::yield_now();
        }
        assert_eq!(all(vec![job("guard two", || 6)], Duration::from_secs(60)), (vec![6], vec![]));
    }

    #[test]
    fn one_that_goes_on_is_not_stuck_and_learns_when_to_end() {
        let until = Instant::now() + STUCK_AFTER * 3;
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        let long = || {
            let (_keep, never) = channel::<()>();
            let mut count = 0;
            while beat() {
                let _ = never.recv_timeout(Duration::from_millis(5));
                count += 1;
            }
            count
        };
        run(vec![job("guard long", long)], until, &mut unread, |one| found.push(one));
        assert!(found[0] > 1 && Instant::now() >= until, "{found:?}");
        assert_eq!(unread, Vec::<String>::new());
    }

    #[test]
    fn it_ends_in_time_and_says_what_was_left_out() {
        let (found, unread) = all((0..9).map(|n| job(&format!("guard late {n}"), move || n)).collect(), Duration::ZERO);
        assert!(found.is_empty());
        assert_eq!(unread, ["guard late 0 and 8 more: the look had taken long enough"]);
    }
}
