//! Signatures: none, somebody else's, another time's, another content's. The files are harmless but for one more zone.

use crate::cases::{Case, hostile};
use crate::harness::git::{Signer, commit, now, with_header};
use crate::lab::{self, Lab};
use crate::scene::Scene;

/// The text of a commit of one more zone on the good one, which nobody signed.
fn unsigned(scene: &Scene) -> String {
    let tree = scene.repo.write(&scene.evil());
    commit(&tree, &[&scene.lab.good], "alice", now() - 60, "One more zone")
}

/// One more zone, signed by somebody.
fn signed_by(name: &'static str, reasons: &'static [&'static str], signer: fn(&Lab) -> Signer) -> Case {
    hostile(name, reasons, move |scene| scene.shows(&signer(scene.lab).signed(&unsigned(scene))))
}

/// One more zone, with a signature of some kind.
fn made(name: &'static str, reasons: &'static [&'static str], make: fn(&Scene, &str) -> String) -> Case {
    hostile(name, reasons, move |scene| {
        let text = make(scene, &unsigned(scene));
        scene.shows(&text)
    })
}

/// The text with one character within the signature's data changed.
fn flipped(text: &str) -> String {
    let at = text.find("SIGNATURE-----").expect("a signature") + 200;
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

pub fn cases() -> Vec<Case> {
    [who(), what(), open_pgp(), range(), odd()].into_iter().flatten().collect()
}

fn who() -> Vec<Case> {
    vec![
        made("unsigned", &["Unsigned"], |_, text| text.to_owned()),
        signed_by("unknown-signer", &["UnknownSigner"], |lab| lab.mallory.clone()),
        signed_by("expired-signer", &["SignerExpired"], |lab| lab.expired.clone()),
        signed_by("signer-of-the-future", &["SignerExpired"], |lab| lab.early.clone()),
        signed_by("revoked-signer", &["SignerRevoked"], |lab| lab.revoked.clone()),
        signed_by("certificate-expired", &["SignerExpired", "UnknownSigner"], |lab| lab.certified_once.clone()),
        signed_by("certificate-of-another", &["UnknownSigner"], |lab| lab.certified_by_mallory.clone()),
        signed_by("signer-of-files", &["UnknownSigner"], |lab| lab.filer.clone()),
        signed_by("namespace-of-files", &["SignatureInvalid"], |lab| lab.alice.namespace("file")),
        // An old key, stolen: its owner could sign in 2020, and so the thief says it is 2020.
        hostile("expired-signer-backdated", &["SignerExpired"], |scene| {
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good], "expired", 1_590_000_000, "One more zone");
            scene.shows(&scene.lab.expired.signed(&text))
        }),
        hostile("expired-signer-backdated-behind-newer", &["SignerExpired"], |scene| {
            let good = lab::files().with("README", "newer\n");
            let newer = commit(&scene.repo.write(&good), &[&scene.lab.good], "alice", now() - 90, "Newer");
            let newer = scene.shows(&scene.lab.alice.signed(&newer));
            scene.accept(&newer);
            let text = commit(&scene.repo.write(&scene.evil()), &[&newer], "expired", 1_590_000_000, "One more zone");
            scene.shows(&scene.lab.expired.signed(&text))
        }),
        hostile("from-the-future", &["FromFuture"], |scene| {
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good], "alice", now() + 400 * 86_400, "One more zone");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        // Whoever writes to the repository cannot let himself in.
        hostile("trusts-itself", &["UnknownSigner"], |scene| {
            let line = scene.lab.mallory.allowed("mallory@fleet.example", "namespaces=\"git\"");
            let config = "[gpg \"ssh\"]\n\tallowedSignersFile = allowed_signers\n";
            let files = scene.evil().with("allowed_signers", &line).with("zones/allowed_signers", &line);
            scene.commits(&files.with(".gitconfig", config).with("config", config), &scene.lab.mallory)
        }),
    ]
}

fn what() -> Vec<Case> {
    vec![
        made("signature-flipped", &["SignatureInvalid"], |scene, text| flipped(&scene.lab.alice.signed(text))),
        made("message-changed", &["SignatureInvalid"], |scene, text| {
            scene.lab.alice.signed(text).replace("One more zone", "One more zona")
        }),
        hostile("tree-changed", &["SignatureInvalid"], |scene| {
            let (good, evil) = (scene.repo.write(&lab::files()), scene.repo.write(&scene.evil()));
            let text = commit(&good, &[&scene.lab.good], "alice", now() - 60, "Nothing new");
            scene.shows(&scene.lab.alice.signed(&text).replace(&good, &evil))
        }),
        made("signature-of-another-commit", &["SignatureInvalid"], |scene, text| {
            let good = scene.repo.git(&["cat-file", "commit", &scene.lab.good]);
            let (_, rest) = good.split_once("gpgsig ").expect("a signature");
            let (signature, _) = rest.split_once("\n\n").expect("a message");
            with_header(text, "gpgsig", &signature.replace("\n ", "\n"))
        }),
        made("signature-is-text", &["SignatureInvalid", "UnusualCommit", "UnknownSigner"], |_, text| {
            with_header(text, "gpgsig", "trust me")
        }),
        made("signature-is-armour", &["SignatureInvalid", "UnusualCommit"], |_, text| {
            with_header(text, "gpgsig", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----")
        }),
        made("signature-of-x509", &["SignatureInvalid", "UnusualCommit", "UnknownSigner", "Unsigned"], |_, text| {
            with_header(text, "gpgsig", "-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----")
        }),
        made("signature-in-message", &["Unsigned"], |scene, text| {
            format!("{text}\ngpgsig {}\n", scene.lab.alice.sign(text.as_bytes()))
        }),
        made("signature-in-another-header", &["Unsigned", "UnusualCommit"], |scene, text| {
            with_header(text, "x-gpgsig", &scene.lab.alice.sign(text.as_bytes()))
        }),
        made("signature-for-sha256", &["Unsigned", "UnusualCommit"], |scene, text| {
            with_header(text, "gpgsig-sha256", &scene.lab.alice.sign(text.as_bytes()))
        }),
    ]
}

fn open_pgp() -> Vec<Case> {
    vec![
        signed_by("gpg-unknown", &["UnknownSigner"], |lab| lab.gpg_unknown.clone()),
        signed_by("gpg-expired", &["SignerExpired"], |lab| lab.gpg_expired.clone()),
        signed_by("gpg-revoked", &["SignerRevoked"], |lab| lab.gpg_revoked.clone()),
        made("gpg-changed", &["SignatureInvalid"], |scene, text| {
            scene.lab.gpg.signed(text).replace("One more zone", "One more zona")
        }),
        made("gpg-is-armour", &["SignatureInvalid", "UnusualCommit"], |_, text| {
            with_header(text, "gpgsig", "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----")
        }),
        // What gpg prints of a key's owner is no verdict of gpg's.
        hostile("gpg-owner-that-lies", &["UnknownSigner"], |scene| {
            let home = scene.host.folder().join("liar");
            let liar = Signer::gpg(&home, "x [GNUPG:] GOODSIG VALIDSIG", None, "never");
            let commit = liar.signed(&unsigned(scene));
            liar.end_agent();
            scene.shows(&commit)
        }),
    ]
}

fn range() -> Vec<Case> {
    vec![
        hostile("unsigned-in-the-middle", &["Unsigned"], |scene| {
            let middle = scene.repo.object("commit", unsigned(scene).as_bytes());
            let files = scene.evil().with("README", "more\n");
            let text = commit(&scene.repo.write(&files), &[&middle], "alice", now() - 30, "More");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("unknown-signer-in-the-middle", &["UnknownSigner"], |scene| {
            let middle = scene.repo.object("commit", scene.lab.mallory.signed(&unsigned(scene)).as_bytes());
            let text = commit(&scene.repo.write(&lab::files()), &[&middle], "alice", now() - 30, "Took it back");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("merge-of-unsigned", &["Unsigned"], |scene| {
            let branch = scene.repo.object("commit", unsigned(scene).as_bytes());
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good, &branch], "alice", now() - 30, "Merge");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("merge-of-another-root", &["Unsigned"], |scene| {
            let root = commit(&scene.repo.write(&scene.evil()), &[], "mallory", now() - 90, "A root");
            let root = scene.repo.object("commit", root.as_bytes());
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good, &root], "alice", now() - 30, "Merge");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("merge-by-unknown", &["UnknownSigner"], |scene| {
            let branch = scene.repo.object("commit", scene.lab.alice.signed(&unsigned(scene)).as_bytes());
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good, &branch], "mallory", now() - 30, "Merge");
            scene.shows(&scene.lab.mallory.signed(&text))
        }),
        hostile("unsigned-head-only", &["Unsigned"], |scene| {
            let text = unsigned(scene);
            scene.shows(&text)
        })
        .told(|_, settings| settings.trust.push("verify: head".into())),
        hostile("unsigned-first-parent", &["Unsigned"], |scene| {
            let middle = scene.repo.object("commit", unsigned(scene).as_bytes());
            let text = commit(&scene.repo.write(&scene.evil()), &[&middle], "alice", now() - 30, "More");
            scene.shows(&scene.lab.alice.signed(&text))
        })
        .told(|_, settings| settings.trust.push("verify: first-parent".into())),
    ]
}

fn odd() -> Vec<Case> {
    vec![
        made("two-signatures", &["UnusualCommit", "SignatureInvalid", "UnknownSigner"], |scene, text| {
            let mallory = scene.lab.mallory.sign(text.as_bytes());
            with_header(&scene.lab.alice.signed(text), "gpgsig", &mallory)
        }),
        made("two-signatures-other-order", &["UnusualCommit", "SignatureInvalid", "UnknownSigner"], |scene, text| {
            let mallory = with_header(text, "gpgsig", &scene.lab.mallory.sign(text.as_bytes()));
            with_header(&mallory, "gpgsig", &scene.lab.alice.sign(text.as_bytes()))
        }),
        // Signed is what stands before the NUL, if it is read as C reads.
        made("nul-in-message", &["UnusualCommit", "ObjectsRefused", "SignatureInvalid"], |scene, text| {
            format!("{}\0and more\n", scene.lab.alice.signed(text))
        }),
        made("nul-in-header", &["UnusualCommit", "ObjectsRefused", "SignatureInvalid"], |scene, text| {
            scene.lab.alice.signed(text).replace("author alice", "author al\0ice")
        }),
        made("two-trees", &["UnusualCommit", "ObjectsRefused"], |scene, text| {
            let tree = scene.repo.write(&lab::files());
            scene.lab.alice.signed(&format!("tree {tree}\n{text}"))
        }),
        made("two-authors", &["UnusualCommit", "ObjectsRefused"], |scene, text| {
            let author = text.lines().find(|line| line.starts_with("author ")).expect("an author");
            scene.lab.alice.signed(&text.replacen(author, &format!("{author}\n{author}"), 1))
        }),
        made("no-committer", &["UnusualCommit", "ObjectsRefused"], |scene, text| {
            let line = text.lines().find(|line| line.starts_with("committer ")).expect("a committer");
            scene.lab.alice.signed(&text.replacen(&format!("{line}\n"), "", 1))
        }),
        // git takes it for one without parents.
        made("parent-behind-author", &["UnusualCommit", "ObjectsRefused", "HistoryRewritten"], |scene, text| {
            let parent = format!("parent {}\n", scene.lab.good);
            let late = text.replacen(&parent, "", 1).replacen("\n\n", &format!("\n{parent}\n"), 1);
            scene.lab.alice.signed(&late)
        }),
        made("date-of-no-time", &["UnusualCommit", "ObjectsRefused", "FromFuture"], |scene, text| {
            let line = text.lines().find(|line| line.starts_with("committer ")).expect("a committer");
            let odd = "committer alice <alice@fleet.example> 99999999999999999999 +0000";
            scene.lab.alice.signed(&text.replacen(line, odd, 1))
        }),
        // What is shown of it reaches a terminal.
        made("escapes-in-subject", &["Unsigned", "UnusualCommit"], |_, text| {
            text.replace("One more zone", "One \x1b]0;pwned\x07\x1b[2Jmore\rzone")
                .replace("author alice", "author \x1b[31m")
        })
        .looked(|scene| {
            let output = scene.reeve(&["get", "source"]);
            let raw = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, 0x1b | 0x07 | b'\r'));
            let log = scene.host.controller_log();
            (raw(&output.stdout) || raw(&output.stderr) || log.contains("\x1b]0;")).then(|| {
                format!("escape sequences reach the terminal: {:?}\n{log:?}", String::from_utf8_lossy(&output.stdout))
            })
        }),
    ]
}
