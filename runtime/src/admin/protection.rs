//! The protection of links, for an operator: warnings and metrics.

use std::time::Duration;

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
        Protection::Certificates { expires } => match expires.checked_sub(now) {
            Some(left) if left > WARN_BEFORE => None,
            Some(left) => {
                let days = left.as_secs() / (24 * 3600);
                Some(format!(
                    "the certificate of this node (`links.tls.cert_file`) expires in {days} days: replace the file, which is read again"
                ))
            }
            None => Some(
                "the certificate of this node (`links.tls.cert_file`) has expired: new links fail; replace the file, which is read again".to_owned(),
            ),
        },
    }
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
}
