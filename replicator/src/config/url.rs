//! Rules for URLs.

use hyper::Uri;

use super::problems::Problems;
use super::secret::{Secret, redact};

/// Checks a URL: its scheme, its host, and the bounds of its port.
pub(super) fn url(key: &str, text: &Secret, schemes: &[&str], problems: &mut Problems) {
    let words: Vec<String> =
        schemes.iter().map(|scheme| format!("`{scheme}://host:port/path`")).collect();
    let mut expected = format!("a URL {}", words.join(" or "));
    if schemes == ["http"] {
        expected += " (for TLS put a proxy beside it)";
    }
    let shown = redact(key, text.expose());
    let parsed: Option<Uri> = text.expose().parse().ok();
    let fits = |uri: &Uri| uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    match parsed.filter(fits) {
        None => problems.expected(key, &shown, &expected),
        Some(uri) if has_wrong_port(&uri) => {
            problems.expected(key, &shown, &format!("{expected} with a port from 1 to 65535"));
        }
        Some(_) => {}
    }
}

/// Returns whether a URL has a port that is no port.
pub(crate) fn has_wrong_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", hyper::http::uri::Authority::as_str);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let behind = host.rsplit(']').next().unwrap_or_default();
    behind.contains(':') && uri.port_u16().unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_refused_with_its_scheme_its_port_and_without_its_password() {
        let check = |text: &str| {
            let mut problems = Problems::default();
            url("Key", &Secret::new(text), &["http", "https"], &mut problems);
            problems.into_result(&[]).err().map_or_else(String::new, |error| error.to_string())
        };
        for good in ["http://h", "https://h:1/x?y=z", "http://[::1]:8080", "http://u:p@h"] {
            assert_eq!(check(good), "");
        }
        for bad in ["h:80", "ftp://h", "http://", "http:// h", "http://u:p:w@h:70000", "http://h:0"]
        {
            let message = check(bad);
            assert!(
                message.contains("`Key`: expected a URL `http://host:port/path` or `https"),
                "{bad}: {message}"
            );
            assert!(!message.contains("p:w"), "{message}");
        }
        assert!(
            check("http://h:70000")
                .contains("with a port from 1 to 65535, actual `http://h:70000`")
        );
    }
}
