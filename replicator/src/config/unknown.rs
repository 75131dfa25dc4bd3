//! Keys that the program does not read: most are misspelt, so each gets a warning with the nearest
//! known key.
//!
//! Ditto's own compose file sets `Settings:Streams:0:..`, which never existed; Ditto ignored it
//! silently.

use std::collections::BTreeMap;

use super::layers::Layers;
use super::reader::Effective;
use super::table::Key;

/// The highest cost of one wrong part, so that a right path around one wrong name still wins.
const PART_COST_MAX: usize = 400;

/// A warning per key that is not among the asked ones, with the nearest of the known `keys`.
pub(super) fn warnings(
    layers: &Layers,
    asked: &BTreeMap<String, Effective>,
    keys: &[Key],
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, raw) in &layers.0 {
        if asked.contains_key(key) {
            continue;
        }
        let hint = match nearest(&raw.key, keys) {
            Some(known) => format!("; the nearest known key is `{known}`"),
            None => String::new(),
        };
        warnings.push(format!("`{}` ({}): unknown key, it has no effect{hint}", raw.key, raw.from));
    }
    warnings
}

/// The known key that is nearest to `key`, with the indexes of `key`; none when no key is near.
fn nearest(key: &str, keys: &[Key]) -> Option<String> {
    let indexes: Vec<&str> = key.split(':').filter(|part| is_index(part)).collect();
    let pattern: Vec<String> = key
        .split(':')
        .map(|part| if is_index(part) { "*".into() } else { part.to_lowercase() })
        .collect();
    let (cost, known) =
        keys.iter().map(|known| (distance(&pattern, &known.key), known.key.as_str())).min()?;
    let length: usize = pattern.iter().map(|part| part.chars().count()).sum();
    if cost > length * 33 {
        return None;
    }
    let mut indexes = indexes.into_iter();
    let with_index = |part| if part == "*" { indexes.next().unwrap_or("0") } else { part };
    Some(known.split(':').map(with_index).collect::<Vec<_>>().join(":"))
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The distance of two keys in hundredths of a changed letter, summed over the parts; an index
/// opposite a name counts as six letters.
fn distance(pattern: &[String], known: &str) -> usize {
    let known: Vec<String> = known.split(':').map(str::to_lowercase).collect();
    let pairs = pattern.len().max(known.len());
    let part = |parts: &[String], at: usize| parts.get(at).cloned().unwrap_or_default();
    (0..pairs)
        .map(|at| {
            let (ours, theirs) = (part(pattern, at), part(&known, at));
            if (ours == "*") != (theirs == "*") {
                return 600;
            }
            // a name that is only a piece of the known name was shortened, not misspelt
            if ours != theirs && ours.len() >= 4 && theirs.contains(&ours) {
                return 150;
            }
            let ours: String = ours.chars().take(64).collect();
            PART_COST_MAX.min(100 * strsim::levenshtein(&ours, &theirs))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("Settings:Streams:0:StreamName", "Settings:Subscriptions:0:StreamName"),
            ("Settings:Streams:1:GroupName", "Settings:Subscriptions:1:GroupName"),
            ("Settings:SkipVersionChek", "Settings:SkipVersionCheck"),
            ("Settings:Subscriptions:3:Stream", "Settings:Subscriptions:3:StreamName"),
            ("Setting:ReadOnly", "Settings:ReadOnly"),
            ("Metrics:Prot", "Metrics:Port"),
            ("Kinesis:Stream", "Kinesis:StreamName"),
            ("AWS:ServiceUri", "AWS:ServiceURL"),
            ("Settings:BufferSize", "Settings:PersistentSubscriptionBufferSize"),
        ] {
            // an abbreviation may get no guess, but never a wrong one
            match nearest(wrong, &KEYS) {
                Some(found) => assert_eq!(found, meant, "{wrong}"),
                None => {
                    assert!(["Settings:TTL", "Settings:BufferSize"].contains(&wrong), "{wrong}")
                }
            }
        }
    }

    #[test]
    fn what_resembles_nothing_gets_no_guess() {
        assert_eq!(nearest("Logging:LogLevel:Microsoft.Hosting", &KEYS), None);
        assert_eq!(nearest("x", &KEYS), None);
    }
}
