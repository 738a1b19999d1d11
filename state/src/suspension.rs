//! That somebody suspended a zone: nothing is done to it but an unfinished halt, while what differs is still measured.

use serde::{Deserialize, Deserializer, Serialize};

use crate::time::Timestamp;

/// Who suspended a zone, why, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Suspension {
    /// Why, as the person wrote it; one line.
    pub reason: String,
    /// Who did it, or answers for it.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; none where somebody has to end it.
    pub until: Option<Timestamp>,
}

impl Suspension {
    /// Whether it is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Who, until when and why, in words that stay the same for as long as it lasts.
    pub fn words(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {}", until.utc()),
            None => "until somebody resumes it".to_owned(),
        };
        format!("suspended by {} {until}: {}", self.owner, self.reason)
    }
}

/// Reads one leniently: earlier versions wrote `false`, and nobody could suspend a zone.
///
/// # Errors
/// Where the document is none at all.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Suspension>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Suspension(Suspension),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Suspension(suspension)) => Some(suspension),
        Some(Written::Other(_)) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ZonePolicy;

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        for text in [r#"{"suspended":false}"#, r#"{"suspended":true}"#, r#"{"suspended":null}"#, "{}"] {
            assert_eq!(serde_json::from_str::<ZonePolicy>(text).expect(text).suspended, None, "{text}");
        }
        let suspension = Suspension { reason: "r".into(), owner: "o".into(), since: Timestamp(1), until: None };
        let policy = ZonePolicy { suspended: Some(suspension), ..ZonePolicy::default() };
        let text = serde_json::to_string(&policy).expect("a document");
        assert_eq!(serde_json::from_str::<ZonePolicy>(&text).expect("a policy"), policy);
    }

    #[test]
    fn it_ends_at_its_time() {
        let until = |until| Suspension { until, ..Suspension::default() };
        assert!(!until(None).is_over(Timestamp(u64::MAX)));
        assert!(!until(Some(Timestamp(5))).is_over(Timestamp(4)));
        assert!(until(Some(Timestamp(5))).is_over(Timestamp(5)));
    }
}
