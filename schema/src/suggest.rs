//! "Did you mean": the known word nearest to what was written.

/// The word of `known` that someone who wrote `word` most likely meant: the same but for case, `-` and `_` (zonecfg
/// writes `capped-memory`), or off by a typing error or two.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    near(word, known, 1).into_iter().next()
}

/// The same for several words: the nearest first, at most `most` of them.
pub(crate) fn near<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, most: usize) -> Vec<&'k str> {
    // Nobody means a field of 10 letters by a word of 70; and comparing costs the product of the lengths.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return Vec::new();
    }
    let folded = fold(word);
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    let short = known.into_iter().filter(|candidate| candidate.len() <= LONGEST);
    let measured = short.map(|candidate: &'k str| (distance(&folded, &fold(candidate)), candidate));
    let mut found: Vec<(usize, &str)> = measured.filter(|(distance, _)| *distance <= allowed).collect();
    found.sort_unstable();
    found.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

/// The letters that count.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to another.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let from: Vec<char> = from.chars().collect();
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (i, a) in from.iter().enumerate() {
        let above = &rows[i];
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["cappedMemory", "cappedCpu", "net", "fs", "state"];
        assert_eq!(nearest("capped-memory", known), Some("cappedMemory"));
        assert_eq!(nearest("capedCpu", known), Some("cappedCpu"));
        assert_eq!(nearest("sttae", known), Some("state"));
        assert_eq!(nearest("nte", known), Some("net"));
        assert_eq!(nearest("volumes", known), None);
        assert_eq!(nearest(&"n".repeat(1000), known), None);
    }
}
