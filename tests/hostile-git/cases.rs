//! A case: what is shown to a host, what must become of it, and how that is looked at.

use crate::lab::{GOOD_ZONES, Lab};
use crate::listing::{changes, list};
use crate::memory;
use crate::scene::{Scene, Settings, Verdict};

/// What must become of what a case shows.
#[derive(Clone, Debug)]
pub enum Expect {
    /// It is refused, for one of these reasons.
    Refused(&'static [&'static str]),
    /// The controller does not begin, and says this.
    NotFollowed(&'static str),
    /// It is applied, and the zone `evil` is there (which in these cases is not).
    Applied,
}

/// Shows something: the commit that must be judged, or nothing where none can be reached.
type Show = Box<dyn Fn(&mut Scene) -> String + Send + Sync>;
/// Changes what the host is told before its controller starts.
type Tell = Box<dyn Fn(&Scene, &mut Settings) + Send + Sync>;
/// Looks once more after the verdict; what is wrong.
type Look = Box<dyn Fn(&mut Scene) -> Option<String> + Send + Sync>;

/// One repository or commit.
pub struct Case {
    pub name: &'static str,
    pub expect: Expect,
    show: Show,
    tell: Option<Tell>,
    look: Option<Look>,
    /// Whether the good commit is accepted before.
    begun: bool,
    /// Whether memory is watched.
    watched: bool,
}

/// What came of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was said of it, in short.
    pub verdict: String,
    /// Whether zones of it are there or wanted.
    pub applied: bool,
    /// Files that came, went or changed.
    pub written: Vec<String>,
    /// What else is wrong.
    pub problems: Vec<String>,
}

impl Outcome {
    pub fn clean(&self) -> bool {
        self.problems.is_empty() && self.written.is_empty()
    }
}

/// Something hostile, refused for one of these reasons.
pub fn hostile(
    name: &'static str,
    reasons: &'static [&'static str],
    show: impl Fn(&mut Scene) -> String + Send + Sync + 'static,
) -> Case {
    let expect = Expect::Refused(reasons);
    Case { name, expect, show: Box::new(show), tell: None, look: None, begun: true, watched: false }
}

/// Something that looks like it and is harmless.
pub fn harmless(name: &'static str, show: impl Fn(&mut Scene) -> String + Send + Sync + 'static) -> Case {
    Case { expect: Expect::Applied, ..hostile(name, &[], show) }
}

/// A repository that is not even followed.
pub fn not_followed(
    name: &'static str,
    says: &'static str,
    tell: impl Fn(&Scene, &mut Settings) + Send + Sync + 'static,
) -> Case {
    Case { expect: Expect::NotFollowed(says), ..hostile(name, &[], |_| String::new()) }.told(tell).fresh()
}

impl Case {
    /// With another configuration.
    pub fn told(self, tell: impl Fn(&Scene, &mut Settings) + Send + Sync + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), ..self }
    }

    /// With one more look after the verdict.
    pub fn looked(self, look: impl Fn(&mut Scene) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { look: Some(Box::new(look)), ..self }
    }

    /// Without a commit that was accepted before.
    pub fn fresh(self) -> Self {
        Self { begun: false, ..self }
    }

    /// With an eye on memory.
    pub fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    /// Runs it on a host of its own.
    pub fn run(&self, lab: &Lab) -> Outcome {
        let mut scene = Scene::new(lab, self.name);
        let mut settings = scene.settings.clone();
        if let Some(tell) = &self.tell {
            tell(&scene, &mut settings);
        }
        scene.settings = settings;
        let watch = self.watched.then(memory::Watch::start);
        let mut outcome = if self.begun {
            self.begun(&mut scene, watch.as_ref())
        } else {
            self.fresh_run(&mut scene, watch.as_ref())
        };
        if let Some(look) = &self.look {
            outcome.problems.extend(look(&mut scene));
        }
        if let Some(most) = watch.map(memory::Watch::end) {
            outcome.verdict.push_str(&format!(" ({} MiB at most)", most >> 10));
            if most > memory::MAX {
                outcome.problems.push(format!("{most} KiB of memory, {} is the most", memory::MAX));
            }
            if most == 0 {
                outcome.problems.push("no memory was seen".into());
            }
        }
        outcome.written.extend(scene.canaries());
        if !outcome.clean() {
            outcome.problems.push(format!("controller: {}", scene.host.controller_log()));
        }
        outcome
    }

    /// The good commit is in force; then something is shown.
    fn begun(&self, scene: &mut Scene, watch: Option<&memory::Watch>) -> Outcome {
        scene.start();
        let good = scene.lab.good.clone();
        let first = scene.judged(&good, 0);
        assert_eq!(first, Verdict::Accepted, "{}", scene.host.controller_log());
        assert!(scene.wait_zones(&GOOD_ZONES), "{:?}\n{}", scene.zones(), scene.host.controller_log());
        if let Some(watch) = watch {
            watch.process(scene.host.controller_pid());
        }
        let shown = (self.show)(scene);
        let accepted = scene.source()["accepted"]["commit"].clone();
        let before = list(scene.host.folder());
        let verdict = scene.verdict(&shown);
        let mut outcome = self.judge(verdict);
        if matches!(self.expect, Expect::Applied) {
            if !scene.wait_zones(&["bob-1", "evil", "good"]) {
                outcome.problems.push(format!("the zones are {:?}", scene.zones()));
            }
            return outcome;
        }
        // Whatever would be done of it would have begun by now, and is asked for.
        outcome.applied = !scene.wait_zones(&GOOD_ZONES);
        outcome.written = changes(&before, &list(scene.host.folder()));
        let now = scene.source()["accepted"]["commit"].clone();
        if now != accepted || outcome.applied {
            outcome.problems.push(format!("{now} is accepted, zones {:?}", scene.zones()));
        }
        outcome
    }

    /// The first commit that is seen is the one in question.
    fn fresh_run(&self, scene: &mut Scene, watch: Option<&memory::Watch>) -> Outcome {
        let shown = (self.show)(scene);
        scene.start();
        if let Some(watch) = watch {
            watch.process(scene.host.controller_pid());
        }
        let verdict = scene.judged(&shown, 0);
        let mut outcome = self.judge(verdict);
        if matches!(self.expect, Expect::Applied) {
            if !scene.wait_zones(&["bob-1", "evil", "good"]) {
                outcome.problems.push(format!("the zones are {:?}", scene.zones()));
            }
            return outcome;
        }
        outcome.applied = !scene.zones().is_empty();
        if outcome.applied {
            outcome.problems.push(format!("there are zones: {:?}", scene.zones()));
        }
        outcome
    }

    fn judge(&self, verdict: Verdict) -> Outcome {
        let mut outcome = Outcome::default();
        let right = match (&self.expect, &verdict) {
            (Expect::Applied, Verdict::Accepted) => true,
            (Expect::Refused(reasons), Verdict::Rejected(reason, _) | Verdict::NotFetched(reason, _)) => {
                reasons.contains(&reason.as_str())
            }
            (Expect::NotFollowed(says), Verdict::NotFollowed(said)) => {
                said.contains(says) && said.starts_with("exit status: 1:")
            }
            _ => false,
        };
        let (short, whole) = match verdict {
            Verdict::Accepted => ("accepted".to_owned(), String::new()),
            Verdict::Rejected(reason, message) => (format!("rejected, {reason}"), message),
            Verdict::NotFetched(reason, error) => (format!("not fetched, {reason}"), error),
            Verdict::NotFollowed(said) => ("not followed".into(), said),
        };
        if right && whole.is_empty() && !matches!(self.expect, Expect::Applied) {
            outcome.problems.push("no word on why".into());
        }
        if !right {
            outcome.problems.push(format!("expected {:?}, but: {short}: {whole}", self.expect));
        }
        outcome.verdict = format!("{short}: {}", whole.lines().next().unwrap_or_default());
        outcome
    }
}
