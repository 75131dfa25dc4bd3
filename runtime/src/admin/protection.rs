//! The protection of links and of the HTTP interface, for an operator: warnings and metrics.

use std::time::Duration;

use super::access::EntityAccess;
use super::settings::HttpSettings;
use crate::metrics::Metrics;
use crate::transport::Protection;

/// Time before the end of a certificate from which on it is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The warning about links, if there is one. `now` is the time since 1970.
pub(super) fn warning(protection: Protection, now: Duration) -> Option<String> {
    match protection {
        Protection::ThisMachine => None,
        Protection::None => Some(
            "`links.insecure` is set: whoever reaches `bind`, or the network between nodes, owns this node".to_owned(),
        ),
        Protection::Certificates { expires } => expiry("links.tls.cert_file", expires, now),
    }
}

/// The warning about the end of a certificate in the file of a setting, if that is near. All times
/// are since 1970.
pub(super) fn expiry(setting: &str, expires: Duration, now: Duration) -> Option<String> {
    match expires.checked_sub(now) {
        Some(left) if left > WARN_BEFORE => None,
        Some(left) => {
            let days = left.as_secs() / (24 * 3600);
            Some(format!(
                "the certificate of this node (`{setting}`) expires in {days} days: replace the file, which is read again"
            ))
        }
        None => Some(format!(
            "the certificate of this node (`{setting}`) has expired: new connections fail; replace the file, which is read again"
        )),
    }
}

/// The warnings about an HTTP interface that others reach, and whose settings let strangers in.
pub(super) fn openness(settings: &HttpSettings, is_exposed: bool) -> Vec<String> {
    if !is_exposed {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let has_register = settings.tokens_file.is_some();
    if !settings.is_protected() {
        let what = match (settings.tls.is_some(), has_register) {
            (_, false) => "whoever reaches `http_bind` may do everything",
            (false, true) => "whoever sees its packets has the tokens",
            (true, true) => "nothing is missing",
        };
        warnings.push(format!("`http.insecure` is set: {what}"));
    }
    if has_register && settings.entity_access() == EntityAccess::Open {
        warnings.push(
            "`http.entities` is \"open\": whoever reaches `http_bind` reads and writes all entities"
                .to_owned(),
        );
    }
    warnings
}

/// Sets the metrics of links.
pub(super) fn measure(metrics: &Metrics, protection: Protection) {
    let insecure = metrics.gauge_of("antiphon_links_insecure");
    insecure.set(i64::from(protection == Protection::None));
    if let Protection::Certificates { expires } = protection {
        let seconds = i64::try_from(expires.as_secs()).unwrap_or(i64::MAX);
        metrics.gauge_of("antiphon_link_certificate_expires_seconds").set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tls::HttpTls;
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_from_two_weeks_before_its_end_on() {
        let day = Duration::from_secs(24 * 3600);
        let of = |now| warning(Protection::Certificates { expires: day * 100 }, now);
        assert_eq!(of(day * 85), None);
        assert!(of(day * 87).unwrap().contains("expires in 13 days"));
        assert!(of(day * 101).unwrap().contains("has expired"));
        assert_eq!(warning(Protection::ThisMachine, day), None);
        assert!(warning(Protection::None, day).unwrap().contains("`links.insecure`"));
    }

    #[test]
    fn the_metrics_say_when_a_certificate_ends_and_whether_strangers_get_in() {
        let metrics = Metrics::new();
        measure(&metrics, Protection::Certificates { expires: Duration::from_secs(7) });
        assert!(metrics.text().contains("antiphon_link_certificate_expires_seconds 7"));
        assert!(metrics.text().contains("antiphon_links_insecure 0"));
        measure(&metrics, Protection::None);
        assert!(metrics.text().contains("antiphon_links_insecure 1"));
    }

    #[test]
    fn an_open_interface_is_warned_of_where_others_reach_it_only() {
        let files = HttpTls { cert_file: "a.pem".into(), key_file: "a.key".into(), ca_file: None };
        let with = |tls: bool, tokens: bool, entities| HttpSettings {
            tls: tls.then(|| files.clone()),
            tokens_file: tokens.then(|| "tokens.toml".into()),
            insecure: true,
            entities,
            ..HttpSettings::default()
        };
        for (settings, expected) in [
            (with(true, true, None), vec![]),
            (with(true, false, None), vec!["everything"]),
            (with(false, true, None), vec!["tokens"]),
            (with(false, false, None), vec!["everything"]),
            (with(true, true, Some(EntityAccess::Off)), vec![]),
            (with(true, true, Some(EntityAccess::Open)), vec!["`http.entities`"]),
            (with(false, true, Some(EntityAccess::Open)), vec!["tokens", "`http.entities`"]),
        ] {
            let warnings = openness(&settings, true);
            assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
            for (warning, part) in warnings.iter().zip(expected) {
                assert!(warning.contains(part), "{warning}");
            }
            assert!(openness(&settings, false).is_empty());
        }
    }
}
