//! What is said of a repository that is followed, in each of the ways that it can be with it.

use reeve_state::Timestamp;
use reeve_state::condition::{Claim, ConditionStatus, ConditionType, check, find};
use reeve_state::source::{
    Accepted, CommitInfo, FetchReason, FetchStatus, Rejected, RejectedReason, SourceStatus, short,
};

fn info(commit: &str) -> CommitInfo {
    CommitInfo {
        commit: commit.repeat(40),
        author: "Ann <a@x>".into(),
        subject: "Say why".into(),
        ..CommitInfo::default()
    }
}

fn followed(verified: bool, signer: Option<&str>) -> SourceStatus {
    SourceStatus {
        url: "https://git.example.org/zones.git".into(),
        reference: "branch main".into(),
        verified,
        accepted: Some(Accepted { info: info("a"), accepted_at: Timestamp(5), signer: signer.map(str::to_owned) }),
        ..SourceStatus::default()
    }
}

fn rejected(reason: RejectedReason) -> Option<Rejected> {
    Some(Rejected { info: info("b"), reason, message: "because".into(), problems: Vec::new(), at: Timestamp(9) })
}

/// Status and reason of SourceVerified and SourceFresh.
fn said(status: &SourceStatus) -> [(ConditionStatus, String); 2] {
    let claims = status.claims();
    [ConditionType::SourceVerified, ConditionType::SourceFresh].map(|kind| {
        let claim: &Claim = claims.iter().find(|claim| claim.kind == kind).expect("both are said");
        (claim.status, claim.reason.clone())
    })
}

#[test]
fn each_way_has_its_reasons() {
    use ConditionStatus::{False, True, Unknown};
    let failing = FetchStatus {
        reason: Some(FetchReason::Unreachable),
        error: Some("no route".into()),
        failing_since: Some(Timestamp(1_000)),
        ..FetchStatus::default()
    };
    let good = followed(true, Some("ann@x"));
    for (status, verified, fresh) in [
        (SourceStatus::default(), (Unknown, "NotConfigured"), (Unknown, "NotFetched")),
        (
            SourceStatus { verified: true, ..SourceStatus::default() },
            (Unknown, "NothingAccepted"),
            (Unknown, "NotFetched"),
        ),
        (followed(false, None), (Unknown, "NotConfigured"), (True, "Current")),
        (followed(true, None), (Unknown, "NotChecked"), (True, "Current")),
        (good.clone(), (True, "Signed"), (True, "Current")),
        (SourceStatus { fetch: failing.clone(), ..good.clone() }, (True, "Signed"), (False, "Unreachable")),
        (
            SourceStatus { rejected: rejected(RejectedReason::ManifestInvalid), ..good.clone() },
            (True, "Signed"),
            (False, "CommitRejected"),
        ),
        (
            SourceStatus { rejected: rejected(RejectedReason::Unsigned), ..good.clone() },
            (False, "Unsigned"),
            (False, "CommitRejected"),
        ),
        // A commit that is refused is more to know than that nothing newer can be had.
        (
            SourceStatus { rejected: rejected(RejectedReason::NotOwner), fetch: failing, ..good },
            (False, "NotOwner"),
            (False, "CommitRejected"),
        ),
    ] {
        let expected = [(verified.0, verified.1.to_owned()), (fresh.0, fresh.1.to_owned())];
        assert_eq!(said(&status), expected, "{status:#?}");
    }
}

#[test]
fn who_is_to_blame_and_what_stays_in_force_is_in_the_message() {
    let status = SourceStatus { rejected: rejected(RejectedReason::ManifestInvalid), ..followed(false, None) };
    let fresh = status.claims().into_iter().find(|claim| claim.kind == ConditionType::SourceFresh).expect("it is said");
    for part in [short(&info("b").commit), "Ann <a@x>", "because", "commit aaaaaaaaaaaa stays in force"] {
        assert!(fresh.message.contains(part), "{part}: {}", fresh.message);
    }
}

#[test]
fn times_stay_while_nothing_changes_and_commits_come_and_go() {
    let mut status = followed(true, Some("ann@x"));
    status.settle(Timestamp(10));
    status.accepted = Some(Accepted { info: info("c"), accepted_at: Timestamp(20), signer: Some("bob@x".into()) });
    let before = status.conditions.clone();
    status.settle(Timestamp(20));
    let same = |kind| {
        let (old, new) = (find(&before, kind).expect("before"), find(&status.conditions, kind).expect("after"));
        (old.last_transition_time, &old.message) == (new.last_transition_time, &new.message)
    };
    assert!(same(ConditionType::SourceVerified) && same(ConditionType::SourceFresh), "{:#?}", status.conditions);
    status.rejected = rejected(RejectedReason::SignerRevoked);
    status.settle(Timestamp(30));
    let verified = find(&status.conditions, ConditionType::SourceVerified).expect("it is said");
    assert_eq!((verified.status, verified.last_transition_time), (ConditionStatus::False, Timestamp(30)));
    // They have the shape of all conditions, but that a source has no Converged.
    assert_eq!(check(&status.conditions), ["Converged is missing"]);
}
