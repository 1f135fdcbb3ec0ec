//! The valid name nearest to one that is not valid.

/// The candidate that `name` was most likely meant to be; `None` if none is near. Case, `-` and `_` make no difference.
///
/// ```
/// assert_eq!(quadric_core::config::nearest("max-iter", ["tol", "max_iter"]), Some("max_iter"));
/// assert_eq!(quadric_core::config::nearest("colour", ["tol", "seed"]), None);
/// ```
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name = plain(name);
    let scored = candidates
        .into_iter()
        .map(|c| (distance(&name, &plain(c)), c));
    let (d, best) = scored.min_by_key(|(d, _)| *d)?;
    // A third of the letters may be wrong, but never all of them.
    let allowed = (name.len() / 3).max(1);
    (d <= allowed && d < name.len()).then_some(best)
}

/// Names longer than any real one are compared by their beginning, so that hints stay cheap.
fn plain(name: &str) -> Vec<char> {
    let lower = name.chars().flat_map(char::to_lowercase);
    lower
        .map(|c| if c == '-' { '_' } else { c })
        .take(64)
        .collect()
}

/// Edits (insert, delete, replace, swap neighbours) between two names: optimal string alignment.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replace.min(row[j] + 1).min(next[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}
