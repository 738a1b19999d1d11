//! What holds for every text and for every valid zone: reading never panics, problems stand in the text, and a zone
//! that is written as YAML or JSON is read back as it was, by the loader, by serde and by the JSON Schema.

mod json_schema;
mod zones;

use proptest::prelude::*;
use reeve_schema::{Described, HostSelf, Limits, Problems, SourceFile, Zone, json_schema as schema_of, load};

fn file(text: &str) -> SourceFile {
    SourceFile { path: "a.yaml".into(), text: text.into() }
}

/// The one zone of a text.
fn one(text: &str) -> Zone {
    let set = load(&[file(text)], &HostSelf::default(), "/zones", &Limits::default());
    let set = set.unwrap_or_else(|problems| panic!("{}\n{text}", Problems(problems)));
    set.zones.into_values().next().expect("a zone").zone
}

/// Pieces that manifests are made of, so that random texts come near to being one.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "apiVersion",
        "reeve.dev/v1alpha1",
        "kind",
        "Zone",
        "metadata",
        "name",
        "spec",
        "root",
        "hostUsr",
        "fs",
        "net",
        "init",
        "command",
        "env",
        "fromFile",
        "fromAge",
        "a/b.age",
        "physical",
        "address",
        "10.0.0.1/8",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "!!str ",
        "---\n",
        "...\n",
        "|\n",
        ">",
        "#",
        "~",
        "null",
        "5",
        "1Gi",
        "\t",
        "\r\n",
        "\r",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "ä",
        "%",
        "<<",
        "? ",
        "\\",
        "\0",
    ];
    prop_oneof![8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Every problem must stand in the text, on the line that it says.
fn check_places(text: &str) {
    let Err(problems) = load(&[file(text)], &HostSelf::default(), "/zones", &Limits::default()) else { return };
    assert!(!problems.is_empty());
    for problem in &problems {
        let shown = problem.to_string();
        assert!(problem.line >= 1 && problem.column >= 1, "{shown}");
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(problem.caret < problem.column, "{shown}");
    }
    assert!(problems.is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check_places(&text);
    }

    #[test]
    fn any_near_manifest_is_read_or_refused(pieces in prop::collection::vec(piece(), 0..60)) {
        check_places(&pieces.concat());
    }

    #[test]
    fn a_manifest_with_one_piece_changed_is_read_or_refused(
        zone in zones::zone(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..8,
        piece in piece(),
    ) {
        let mut text: Vec<char> = serde_saphyr::to_string(&zone).unwrap().chars().collect();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, piece.chars());
        check_places(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_zone_comes_back_from_yaml_and_json(zone in zones::zone()) {
        let yaml = serde_saphyr::to_string(&zone).unwrap();
        prop_assert_eq!(&one(&yaml), &zone, "{}", yaml);
        let json = serde_json::to_string_pretty(&zone).unwrap();
        prop_assert_eq!(&one(&json), &zone, "{}", json);
        prop_assert_eq!(&serde_json::from_str::<Zone>(&json).unwrap(), &zone);
        prop_assert_eq!(&serde_saphyr::from_str::<Zone>(&yaml).unwrap(), &zone);
    }

    #[test]
    fn a_zone_fits_the_json_schema(zone in zones::zone()) {
        let value = serde_json::to_value(&zone).unwrap();
        let schema = schema_of(Described::Zone);
        json_schema::check(&schema, &schema, &value).unwrap_or_else(|why| panic!("{why}: {value:#}"));
    }
}
