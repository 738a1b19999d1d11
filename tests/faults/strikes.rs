//! Kills and errnos: one fault each in an operation on a real zone, a new controller without faults, a look whether
//! anything is lost, doubled or left over.

use crate::Result;
use crate::calls;
use crate::inject::{Effect, Fault, Logged, Ran, Role, Tools};
use crate::random::Random;
use crate::scene::{Kind, Operation, Problem, Scene, problem};
use crate::tally::{Run, Tally};
use libc::*;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

/// How many strikes one host bears before all of it is removed and looked at for what is left.
const STRIKES: usize = 6;

/// One fault in one operation; as text, what `--replay` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub operation: Operation,
    /// What strikes.
    pub fault: Fault,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.operation.name(), self.fault)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, fault) =
            text.split_once('/').ok_or_else(|| format!("{text}: not OPERATION/ROLE/CALL/NTH/EFFECT"))?;
        let operation = Operation::ALL.into_iter().find(|operation| operation.name() == name);
        Ok(Self { operation: operation.ok_or_else(|| format!("no operation {name}"))?, fault: fault.parse()? })
    }
}

/// Every system call of each operation, when nothing goes wrong.
pub type Logs = BTreeMap<Operation, Vec<Logged>>;

/// Carries every operation out once and writes its system calls down.
///
/// # Errors
/// When one fails without a fault, which is a bug already.
pub fn learn(tools: &Tools) -> Result<Logs> {
    let mut scene = Scene::new(tools)?;
    let mut logs = Logs::new();
    for operation in Operation::ALL {
        scene.begin(operation)?;
        let (ran, log) = scene.strike(operation, None)?;
        if ran.status != 0 {
            return Err(format!("{} without a fault: exit status {}\n{}", operation.name(), ran.status, ran.output));
        }
        logs.insert(operation, log);
    }
    let left = scene.finish();
    if left.is_empty() { Ok(logs) } else { Err(format!("left over without a fault: {left:#?}")) }
}

/// Whether a call is where one step ends and the next begins: what is written down, asked for, made or destroyed.
fn is_boundary(logged: &Logged) -> bool {
    let call = logged.call;
    let file = [SYS_rename, SYS_renameat2, SYS_fsync, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_mkdir, SYS_symlink];
    let asked = [SYS_sendmsg, SYS_clone3, SYS_pidfd_send_signal];
    let made = [SYS_mkdirat, SYS_move_mount, SYS_fsmount, SYS_umount2, SYS_pivot_root, SYS_setns, SYS_listen, SYS_bind];
    let cgroup = call == SYS_write && logged.path.contains("/cgroup");
    file.contains(&call) || asked.contains(&call) || made.contains(&call) || cgroup
}

/// What is not Reeve's to answer for: the shell's execve, and the eventfd by which the runtime wakes itself, whose write
/// does not fail.
fn is_another_s(logged: &Logged) -> bool {
    logged.role == Role::Controller && (logged.call == SYS_execve || logged.path.contains("[eventfd]"))
}

fn roles(operation: Operation) -> &'static [Role] {
    if operation.has_zoneadmd() { &[Role::Controller, Role::Zoneadmd, Role::Zsched] } else { &[Role::Controller] }
}

/// The kills: at every boundary, before and after, of the process itself and of all; and at every n-th call of any kind.
/// With `quick`, that many of each for each role of each operation.
pub fn kills(logs: &Logs, random: &mut Random, quick: Option<(usize, usize)>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (operation, log) in logs {
        for role in roles(*operation) {
            let of_role: Vec<&Logged> = log.iter().filter(|logged| logged.role == *role).collect();
            let case = |call: Option<i64>, nth: u32, effect: Effect| Case {
                operation: *operation,
                fault: Fault { role: *role, call, nth, effect },
            };
            let mut boundaries = Vec::new();
            for logged in of_role.iter().filter(|logged| is_boundary(logged)) {
                for after in [false, true] {
                    boundaries.push(case(Some(logged.call), logged.nth, Effect::KillOne { after }));
                    boundaries.push(case(Some(logged.call), logged.nth, Effect::KillAll { after }));
                }
            }
            let nth = |n: usize| case(None, n as u32 + 1, Effect::KillOne { after: false });
            let mut any: Vec<Case> = (0..of_role.len()).map(nth).collect();
            if let Some((of_boundaries, of_any)) = quick {
                boundaries = random.sample(&boundaries, of_boundaries);
                any = random.sample(&any, of_any);
            }
            cases.extend(boundaries);
            cases.extend(any);
        }
    }
    cases
}

/// The errnos: each of them at every call that may fail. With `quick`, that many for each operation, from all the calls of
/// all the roles alike.
pub fn errnos(logs: &Logs, random: &mut Random, quick: Option<usize>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (operation, log) in logs {
        let mut calls: BTreeMap<(Role, i64), Vec<&Logged>> = BTreeMap::new();
        for logged in log.iter().filter(|logged| calls::may_fail(logged.call) && !is_another_s(logged)) {
            calls.entry((logged.role, logged.call)).or_default().push(logged);
        }
        let case = |logged: &Logged, errno: i32| Case {
            operation: *operation,
            fault: Fault { role: logged.role, call: Some(logged.call), nth: logged.nth, effect: Effect::Errno(errno) },
        };
        let kinds: Vec<&Vec<&Logged>> = calls.values().collect();
        let errnos: Vec<i32> = calls::errnos().collect();
        match quick {
            Some(count) => cases.extend((0..count).map(|_| {
                let kind = kinds[random.below(kinds.len())];
                case(kind[random.below(kind.len())], errnos[random.below(errnos.len())])
            })),
            None => {
                let all = kinds.iter().flat_map(|kind| kind.iter());
                cases.extend(all.flat_map(|logged| calls::errnos().map(|errno| case(logged, errno))));
            }
        }
    }
    cases
}

/// Runs the cases on this many threads.
pub fn run(tools: &Tools, cases: Vec<Case>, threads: usize, tally: &Tally) {
    let queue = Mutex::new(VecDeque::from(cases));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(batch) = take(&queue) {
                    strike_all(tools, &batch, tally);
                }
            });
        }
    });
}

fn take(queue: &Mutex<VecDeque<Case>>) -> Option<Vec<Case>> {
    let mut queue = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let count = STRIKES.min(queue.len());
    (count > 0).then(|| queue.drain(..count).collect())
}

/// One host and its strikes. After a problem the rest of them get a host of their own.
fn strike_all(tools: &Tools, cases: &[Case], tally: &Tally) {
    let mut done = 0;
    let struck = (|| -> Result<Vec<Problem>> {
        let mut scene = Scene::new(tools)?;
        for case in cases {
            done += 1;
            let problems = strike(&mut scene, case, tally)?;
            tally.problems(&format!("--replay {case}"), &problems);
            if !problems.is_empty() {
                return Ok(Vec::new());
            }
        }
        Ok(scene.finish())
    })();
    let names: Vec<String> = cases[..done].iter().map(ToString::to_string).collect();
    let again = format!("--replay {}", names.join(","));
    match struck {
        Ok(left) => tally.problems(&again, &left),
        Err(why) => tally.problems(&again, &[problem(Kind::Wrong, why)]),
    }
    if done < cases.len() {
        strike_all(tools, &cases[done..], tally);
    }
}

/// One strike: the operation with its fault, then a controller without.
fn strike(scene: &mut Scene, case: &Case, tally: &Tally) -> Result<Vec<Problem>> {
    scene.begin(case.operation).map_err(|why| format!("before {case}: {why}"))?;
    let (mut ran, _) = scene.strike(case.operation, Some(&case.fault))?;
    // Which call is the n-th is not the same each time; then it may be one that nothing is to be made of.
    let another_s = ran.hit.as_ref().is_some_and(|hit| hit.contains("[eventfd]"));
    if another_s && matches!(case.fault.effect, Effect::Errno(_)) {
        (ran.hit, ran.status) = (None, 0);
        ran.output.clear();
    }
    tally.ran(
        match (&ran.hit, case.fault.effect) {
            (None, _) => Run::Missed,
            (_, Effect::Errno(_)) => Run::Errno,
            (_, Effect::KillOne { .. } | Effect::KillAll { .. }) => Run::Kill,
        },
        1,
    );
    let mut problems = judge(case, &ran);
    if must_have_intent(case)
        && ran.hit.is_some()
        && let Err(why) = scene.intent(case.operation)
    {
        problems.push(problem(Kind::Wrong, format!("an effect before its intent: {why}")));
    }
    problems.extend(scene.recover(case.operation));
    if !problems.is_empty() {
        let hit = ran.hit.as_deref().unwrap_or("nothing");
        let said = format!("with {hit}: exit status {}, {:?}\n{}", ran.status, ran.took, ran.output.trim_end());
        problems.iter_mut().for_each(|problem| problem.text.push_str(&format!("\n{said}")));
    }
    Ok(problems)
}

/// Where all are killed at once by what zoneadmd or zsched makes, the journal is as it was then.
fn must_have_intent(case: &Case) -> bool {
    let makes = case.fault.call.is_some_and(|call| ![SYS_sendmsg, SYS_setns, SYS_listen].contains(&call));
    matches!(case.fault.effect, Effect::KillAll { .. }) && case.fault.role != Role::Controller && makes
}

/// What the command itself may not do, whatever strikes.
fn judge(case: &Case, ran: &Ran) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |text: &str| problems.push(problem(Kind::Wrong, text));
    let killed = !matches!(case.fault.effect, Effect::Errno(_)) && ran.status == 128 + SIGKILL;
    if ran.hung {
        wrong("the command hangs");
    } else if ran.status == 101 || ran.status >= 128 && !killed || ran.output.contains("panicked") {
        wrong("the command panicked or was ended");
    } else if ran.status != 0 && !killed && ran.output.trim().is_empty() {
        wrong("the command failed without a word");
    }
    if let (Some(hit), Effect::Errno(errno)) = (&ran.hit, case.fault.effect)
        && must_be_told(hit, errno)
        && !ran.output.contains(&words(errno))
    {
        wrong(&format!("nothing is said of {}: {}", calls::errno_name(errno), words(errno)));
    }
    problems
}

/// A file of Reeve's that cannot be written, synced or put in place is somebody's to know.
fn must_be_told(hit: &str, errno: i32) -> bool {
    let mut fields = hit.split(' ');
    let (role, call) = (fields.next().unwrap_or_default(), fields.next().and_then(|call| call.parse().ok()));
    let call = call.unwrap_or(0);
    let path = fields.nth(1).unwrap_or_default();
    let lasting =
        [SYS_fsync, SYS_syncfs].contains(&call) || [SYS_write, SYS_rename].contains(&call) && path.contains(".json");
    role == "controller" && lasting && [ENOSPC, EIO, EDQUOT, EROFS].contains(&errno)
}

/// What the errno is in words, without its number.
fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os").next().unwrap_or_default().to_owned()
}

/// One case on a host of its own, for who counts himself; what went wrong.
///
/// # Errors
/// When it cannot be run.
pub fn alone(tools: &Tools, case: &Case) -> Result<Vec<Problem>> {
    let mut scene = Scene::new(tools)?;
    let mut problems = strike(&mut scene, case, &Tally::default())?;
    problems.extend(scene.finish());
    Ok(problems)
}

/// Runs some cases one after another on one host, and says what each did.
///
/// # Errors
/// A case that is none.
pub fn replay(tools: &Tools, text: &str, tally: &Tally) -> Result<()> {
    let cases = text.split(',').map(str::parse).collect::<std::result::Result<Vec<Case>, _>>()?;
    strike_all(tools, &cases, tally);
    Ok(())
}
