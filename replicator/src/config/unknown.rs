//! Keys that the program does not read: most are misspelt, so each gets a warning with the nearest
//! known key.
//!
//! Ditto's own compose file sets `Settings:Streams:0:..`, which never existed; Ditto ignored it
//! silently.

use std::collections::BTreeMap;

use super::layers::Layers;
use super::reader::Effective;
use super::table::Key;

/// Names that users know from elsewhere, and those that are meant.
const SYNONYMS: [(&str, &str); 2] = [("streams", "subscriptions"), ("ttl", "timetolive")];

/// The cost of a name that is a piece of the known name, and of sections that are left out.
const SHORTENED: usize = 2;

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

/// The known key that is near to `key`, with the indexes of `key`; none when no key is near, or
/// several are equally near.
fn nearest(key: &str, keys: &[Key]) -> Option<String> {
    let parts: Vec<&str> = key.split(':').collect();
    let near = keys.iter().filter_map(|known| Some((distance(&parts, &known.key)?, &*known.key)));
    let known = only_nearest(near)?;
    let mut indexes = parts.into_iter().filter(|part| is_index(part));
    let known = known.split(':');
    let known = known.map(|part| if part == "*" { indexes.next().unwrap_or("0") } else { part });
    Some(known.collect::<Vec<_>>().join(":"))
}

/// The word that is near to `name`; none when no word is near, or several are equally near.
pub(super) fn nearest_word<'a>(name: &str, words: &[&'a str]) -> Option<&'a str> {
    only_nearest(words.iter().filter_map(|word| Some((part_distance(name, word)?, *word))))
}

/// The one with the lowest cost, if it is the only one.
fn only_nearest<'a>(near: impl Iterator<Item = (usize, &'a str)>) -> Option<&'a str> {
    let mut near: Vec<(usize, &str)> = near.collect();
    near.sort_unstable();
    match near[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, nearest), ..] => Some(nearest),
        [] => None,
    }
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The distance of a key from a known one; none when they are not near. Near is a key with the same
/// sections whose names are near, and a key whose first sections were left out.
fn distance(parts: &[&str], known: &str) -> Option<usize> {
    let known: Vec<&str> = known.split(':').collect();
    let left_out = known.len().checked_sub(parts.len())?;
    let mut sum = if left_out == 0 { 0 } else { SHORTENED };
    for (part, known) in parts.iter().zip(&known[left_out..]) {
        sum += part_distance(part, known)?;
    }
    Some(sum)
}

/// The distance of a name from a known one; none when they are not near: more than a letter in four
/// differs, and it is no whole word of the known name.
fn part_distance(part: &str, known: &str) -> Option<usize> {
    if is_index(part) || known == "*" {
        return (is_index(part) && known == "*").then_some(0);
    }
    let (ours, theirs) = (part.to_lowercase(), known.to_lowercase());
    if SYNONYMS.contains(&(&ours, &theirs)) {
        return Some(1);
    }
    let (ours_count, theirs_count) = (ours.chars().count(), theirs.chars().count());
    let most = (ours_count.min(theirs_count) / 4).max(1);
    if ours_count.abs_diff(theirs_count) <= most {
        let letters = strsim::osa_distance(&ours, &theirs);
        if letters <= most && letters < ours_count {
            return Some(letters);
        }
    }
    is_word_of(&ours, known).then_some(SHORTENED)
}

/// Returns whether a text in lower case is one word, or several, of a name in CamelCase.
fn is_word_of(ours: &str, known: &str) -> bool {
    let starts =
        |at: usize| at == known.len() || known[at..].starts_with(|c: char| c.is_uppercase());
    let lower = known.to_ascii_lowercase();
    ours.len() >= 4
        && lower.match_indices(ours).any(|(at, _)| starts(at) && starts(at + ours.len()))
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
            ("Settings:TTL", "Settings:TimeToLive"),
            ("SourceEventStoreConnectionString", "Settings:SourceEventStoreConnectionString"),
            ("Subscriptions:0:StreamName", "Settings:Subscriptions:0:StreamName"),
            ("lanes", "Settings:Lanes"),
            ("Settings:Destination", "Settings:DestinationEventStoreConnectionString"),
        ] {
            assert_eq!(nearest(wrong, &KEYS).as_deref(), Some(meant), "{wrong}");
        }
    }

    #[test]
    fn what_resembles_nothing_gets_no_guess() {
        for unknown in [
            "Logging:LogLevel:Microsoft.Hosting",
            "x",
            "Settings:Foo",
            "Settings:Colour",
            "Settings:Sync",
            "Settings:Subscriptions:0:Colour",
            "Settings:Subscriptions:0",
            "Settings:ConnectionString",
            "Enabled",
            "StreamName",
            "AWS:SecretKey",
            "Settings:Subscriptions:x:StreamNam\u{e9}\u{6f22}",
        ] {
            assert_eq!(nearest(unknown, &KEYS), None, "{unknown}");
        }
    }

    #[test]
    fn the_nearest_word_is_near_or_none() {
        let words = ["tls", "tlsVerifyCert", "tlsCaFile", "nodePreference"];
        assert_eq!(nearest_word("nodePreferences", &words), Some("nodePreference"));
        assert_eq!(nearest_word("tlsVerifyCerts", &words), Some("tlsVerifyCert"));
        assert_eq!(nearest_word("colour", &words), None);
    }
}
