//! The environment variables, and secrets, which are never shown.

use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;

fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    super::parse(text, variables, &Known::default())
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn environment_variables_go_before_the_file() {
    let set = [
        ("ANTIPHON_NODE__NAME", "b"),
        ("ANTIPHON_NODE__SHARD_COUNT", "8"),
        ("ANTIPHON_NODE__RENEW_TIMEOUT", "9s"),
        ("ANTIPHON_HTTP_BIND", "127.0.0.1:0"),
        ("OTHER", "x"),
    ];
    let config = parse("[node]\nname = 'a'\nplace = 'p'", variables(&set)).unwrap();
    assert_eq!((config.node.name.as_str(), config.node.place.as_str()), ("b", "p"));
    assert_eq!(config.node.shard_count, 8);
    assert_eq!(config.node.renew_timeout, Duration::from_secs(9));
    assert_eq!(config.http_bind.port(), 0);
}

#[test]
fn variables_that_are_right_together_only_are_taken() {
    let set = [
        ("ANTIPHON_SQLITE__APPEND_BYTES_MAX", "100000000"),
        ("ANTIPHON_SQLITE__QUEUE_BYTES_MAX", "200000000"),
    ];
    let config = parse("", variables(&set)).unwrap();
    assert_eq!(config.tables["sqlite"]["append_bytes_max"], 100_000_000);
    let message = parse("", variables(&set[..1])).unwrap_err().to_string();
    assert!(message.contains("`ANTIPHON_SQLITE__APPEND_BYTES_MAX"), "{message}");
    let journal = [("ANTIPHON_JOURNAL__KIND", "sqlite"), ("ANTIPHON_JOURNAL__PATH", "a.db")];
    parse("[journal]\nkind = 'oracle'\npath = ''", variables(&journal)).unwrap();
}

#[test]
fn a_bad_environment_variable_is_named() {
    let message = parse("", variables(&[("ANTIPHON_NODE__NAMES", "x")])).unwrap_err().to_string();
    assert!(message.contains("`ANTIPHON_NODE__NAMES`") && message.contains("names"), "{message}");
    let set = variables(&[("ANTIPHON_SERVICE_PORT", "8080")]);
    let message = parse("", set).unwrap_err().to_string();
    assert!(message.contains("`antiphon`, unless the pod has `enableServiceLinks: false`"));
    let set = variables(&[("ANTIPHON_NODE__SHARD_COUNT", "many")]);
    let message = parse("", set).unwrap_err().to_string();
    assert!(message.contains("`ANTIPHON_NODE__SHARD_COUNT=many`"), "{message}");
}

/// Each part is a table in the table of the part before: thousands overflowed the stack.
#[test]
fn a_variable_with_very_many_parts_is_refused_by_the_start_of_its_name() {
    let name = format!("ANTIPHON_NODE{}", "__A".repeat(100_000));
    let message = parse("", variables(&[(&name, "x")])).unwrap_err().to_string();
    assert!(message.contains("`ANTIPHON_NODE__A__A") && message.len() < 300, "{message}");
    assert!(message.contains("at most 8 parts") && message.contains("actual 100001"), "{message}");
    let deepest = "ANTIPHON_NODE__SHUTDOWN_TIMEOUTS__ANNOUNCE";
    parse("", variables(&[(deepest, "1s")])).unwrap();
}

#[test]
fn two_variables_for_one_key_are_refused_by_their_names() {
    let set = [("ANTIPHON_NODE__NAME", "73100"), ("ANTIPHON_NODE__name", "73101")];
    let message = parse("", variables(&set)).unwrap_err().to_string();
    for (name, value) in set {
        assert!(message.contains(name) && !message.contains(value), "{message}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_refused_by_its_name() {
    let of = |name: &[u8], value: &[u8]| {
        (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec()))
    };
    let message = texts([of(b"ANTIPHON_LINKS__COOKIE", b"x73100\xff")]).unwrap_err();
    let message = message.to_string();
    assert!(
        message.contains("`ANTIPHON_LINKS__COOKIE`") && !message.contains("73100"),
        "{message}"
    );
    assert!(texts([of(b"ANTIPHON_\xff", b"x")]).is_err());
    assert_eq!(texts([of(b"OTHER", b"\xff")]).unwrap(), []);
}

/// Each of these texts contains the secret, and a fault.
#[test]
fn no_secret_is_shown_by_an_error_or_by_a_check() {
    for text in [
        "[links]\ncookie = 73100",
        "[links]\ncookie = [73100]",
        "[links]\ncookie = { a = 73100 }",
        "[links]\ncokie = 'x73100'",
        "[links]\ncookie = 'x73100",
        "[links]\ncookie = x73100",
        "[links]\ncookie = \"\"\"\nx73100=1\n",
        "links = 'x73100'",
        "links = { cookie = 'x73100', connections_max = -1 }",
        "journal = { kind = 'cassandra', auth = 'x73100' }",
        "journal = { kind = 'cassandra', auth = { user = 'a', password = 73100 } }",
        "journal = { kind = 'cassandra', auth = { user = 'a', pasword = 'x73100' } }",
        "journal = ['x73100']",
        "journal = { kind = { password = 'x73100' } }",
        "journal = { kind = ['x73100'] }",
        "journal = \"{ kind = 'cassandra', auth = { user = 'a', password = 'x73100' } }\"",
        "peers = [\n'x73100'\n]",
        "[[peers]]\nplace = 'B'\njournal = { kind = 'cassandra', auth = { user = 'a', password = [73100] } }",
    ] {
        let message = parse(text, []).unwrap_err().to_string();
        assert!(!message.contains("73100"), "{text:?}: {message}");
    }
    for name in [
        "ANTIPHON_LINKS__COOKIE",
        "ANTIPHON_LINKS__COKIE",
        "ANTIPHON_LINKS",
        "ANTIPHON_JOURNAL__AUTH",
        "ANTIPHON_JOURNAL__AUTH__PASSWORD",
        "ANTIPHON_PASSWORD",
    ] {
        let text = "[journal]\nkind = 'cassandra'\nauth = { user = 'a', password = 'b' }";
        let message = match parse(text, variables(&[(name, "73100")])) {
            Ok(config) => format!("{config:?}"),
            Err(error) => error.to_string(),
        };
        assert!(!message.contains("73100"), "{name}: {message}");
    }
    for (name, value) in [
        ("ANTIPHON_LINKS", "{ cookie = 'x73100', connections_max = -1 }"),
        ("ANTIPHON_LINKS", "{ cookie = 'x73100', connections_max = 'many' }"),
        ("ANTIPHON_LINKS", "{ cookie = 'x73100'"),
        (
            "ANTIPHON_JOURNAL",
            "{ kind = 'cassandra', auth = { user = 'a', password = 'x73100' }, lane = 1 }",
        ),
        ("ANTIPHON_JOURNAL", "{ kind = 'cassandra', auth = { user = 'a', password = 'x73100' }"),
        ("ANTIPHON_JOURNAL", "{ kind = { auth = 'x73100' } }"),
        ("ANTIPHON_PEERS", "[{ place = 'B', journal = 5, cookie = 'x73100' }]"),
        (
            "ANTIPHON_PEERS",
            "[{ place = 5, journal = { kind = 'cassandra', auth = { user = 'a', password = 'x73100' } } }]",
        ),
        ("ANTIPHON_PEERS", "[{ place = 'B', journal = { auth = { password = 'x73100' } } }"),
    ] {
        let message = parse("", variables(&[(name, value)])).unwrap_err().to_string();
        assert!(message.contains(name) && !message.contains("73100"), "{value}: {message}");
    }
    let config = parse(
        "[links]\ncookie = 'x73100'\n[journal]\nkind = 'cassandra'\nauth = { user = 'a', password = 'x73100' }",
        [],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("73100"));
    assert!(!toml::to_string(&config).unwrap().contains("73100"));
    assert_eq!(config.links.cookie.expose(), "x73100");
}
