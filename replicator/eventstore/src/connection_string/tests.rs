//! Tests of valid connection strings, and of the messages for invalid ones.

use super::*;

fn parse(text: &str) -> ConnectionString {
    ConnectionString::parse(text).unwrap()
}

fn refusal(text: &str) -> String {
    ConnectionString::parse(text).unwrap_err().to_string()
}

#[test]
fn a_single_node_needs_no_more_than_its_name() {
    let parsed = parse("esdb://localhost");
    assert_eq!(parsed.nodes, [NodeAddress { host: "localhost".into(), port: 2113 }]);
    assert!(parsed.tls && parsed.tls_verify_cert && !parsed.cluster);
    assert_eq!(parsed.applied_to(ClientSettings::default()), ClientSettings::default());
}

#[test]
fn everything_that_a_string_can_say_is_understood() {
    let parsed = parse(
        "kurrentdb://ad%40min:ch%3Angeit@a:1,[::1]:2/?TLS=false&tlsVerifyCert=false\
         &tlsCaFile=/ca.pem&nodePreference=readOnlyReplica&keepAliveInterval=1000\
         &keepAliveTimeout=-1&discoveryInterval=7&gossipTimeout=8&maxDiscoverAttempts=3\
         &connectionName=me&defaultDeadline=900&userCertFile=c&userKeyFile=k&colour=red",
    );
    assert!(parsed.cluster && !parsed.tls && !parsed.tls_verify_cert);
    assert_eq!(parsed.nodes[1], NodeAddress { host: "::1".into(), port: 2 });
    let credentials = parsed.credentials.clone().unwrap();
    assert_eq!((&*credentials.user, &*credentials.password), ("ad@min", "ch:ngeit"));
    assert_eq!(parsed.tls_ca_file.as_deref(), Some("/ca.pem"));
    assert_eq!(parsed.node_preference, NodePreference::ReadOnlyReplica);
    assert_eq!(parsed.connection_name.as_deref(), Some("me"));
    assert_eq!(parsed.unknown_parameters, ["colour"]);
    let settings = parsed.applied_to(ClientSettings::default());
    assert_eq!(settings.keep_alive_interval, Duration::from_secs(1));
    assert_eq!(settings.keep_alive_timeout, NEVER);
    assert_eq!(settings.discovery_interval, Duration::from_millis(7));
    assert_eq!(settings.gossip_timeout, Duration::from_millis(8));
    assert_eq!(settings.discover_attempts_max, 3);
    assert_eq!(settings.request_timeout, Duration::from_millis(900));
}

#[test]
fn one_name_with_discover_is_a_cluster() {
    for text in ["esdb+discover://dns", "kdb+discover://dns", "KURRENTDB+DISCOVER://dns:2113"] {
        assert!(parse(text).cluster, "{text}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let parsed = parse("esdb://admin:changeit@a,b?tls=false");
    let shown = format!("{parsed} {parsed:?} {:?}", parsed.credentials);
    assert!(!shown.contains("changeit"), "{shown}");
    assert_eq!(parsed.to_string(), "esdb://admin:***@a:2113,b:2113?tls=false");
    assert!(!refusal("esdb://admin:change%zz@a").contains("change%"));
}

/// Passwords with every character that has a meaning in a connection string.
const PASSWORDS: [&str; 14] = [
    "QQ?ZZ",
    "QQ@ZZ",
    "QQ/ZZ",
    "QQ%ZZ",
    "QQ:ZZ",
    "QQ#ZZ",
    "QQ ZZ",
    "QQ&ZZ",
    "QQ=ZZ",
    "QQ,ZZ",
    "QQ;ZZ",
    "QQ[ZZ",
    "QQ@ZZ?tls=ZZ",
    "QQ\u{f6}\u{6f22}\u{1f600}\"ZZ",
];

#[test]
fn no_character_of_a_password_shows_in_a_message_whatever_the_rest_of_the_string_is() {
    let texts = [
        "esdb://QQadmin:PW@host:2113?tls=false",
        "esdb://admin:PW@host:70000",
        "esdb://admin:PW@ho st",
        "esdb://admin:PW@host?tls=maybe",
        "esdb://admin:PW@host?tls",
        "esdb://admin:PW",
        "esdb://admin:PW@",
        "esdb:/admin:PW@host",
        "esbd://admin:PW@host",
        "ConnectTo=tcp://admin:PW@host:1113; HeartBeatTimeout=500",
        "GossipSeeds=a:1,b:2;DefaultUserCredentials=admin:PW",
        "tcp://admin:PW@host:1113",
        "discover://admin:PW@host",
    ];
    for (text, password) in texts.iter().flat_map(|text| PASSWORDS.map(|password| (text, password)))
    {
        if text.ends_with(":PW") && text.starts_with("esdb") && password.contains('@') {
            // `admin:QQ@ZZ` has a host
            continue;
        }
        let text = text.replace("QQadmin", "admin").replace("PW", password);
        let shown = match ConnectionString::parse(&text) {
            Ok(parsed) => format!("{parsed} {parsed:?}"),
            Err(refused) => format!("{refused} {refused:?}"),
        };
        assert!(!shown.contains("QQ") && !shown.contains("ZZ"), "{text}: {shown}");
    }
}

#[test]
fn a_password_with_a_slash_a_hash_or_an_at_is_understood_and_one_with_a_question_mark_is_refused() {
    for password in ["p/w", "p#w", "p@w", "p:w", "p w"] {
        let parsed = parse(&format!("esdb://admin:{password}@host?tls=false"));
        assert_eq!(parsed.credentials.unwrap().password, password);
        assert_eq!(parsed.nodes[0].host, "host");
    }
    let refused = refusal("esdb://admin:p?w@host?tls=false");
    assert!(refused.contains("write `?` as `%3F`"), "{refused}");
    assert_eq!(parse("esdb://admin:p%3Fw@host").credentials.unwrap().password, "p?w");
}

#[test]
fn what_is_shown_is_read_again_as_the_same() {
    let text = "esdb://a:1?tls=true&tlsVerifyCert=false&tlsCaFile=/ca.pem&connectionName=me\
                &nodePreference=Follower&gossipTimeout=8&keepAliveTimeout=-1&maxDiscoverAttempts=3";
    let parsed = parse(text);
    assert_eq!(parsed.to_string(), text);
    assert_eq!(parse(&parsed.to_string()), parsed);
}

#[test]
fn a_wrong_part_is_named_with_what_was_expected() {
    let cases = [
        (
            "localhost:2113",
            "connection string: expected `esdb://[user:password@]host[:port][?name=value&..]`, actual: no `://` in it",
        ),
        (
            "http://a",
            "connection string: expected scheme `esdb`, `kurrentdb` or `kdb`, with or without `+discover`, actual `http`",
        ),
        ("esdb://", "connection string: expected `host` or `host:port`, actual no host"),
        (
            "esdb://a:b",
            "connection string: expected a port from 1 to 65535 after the host `a`, actual another text",
        ),
        (
            "esdb://a:1,b:70000?tls=false",
            "connection string: expected a port from 1 to 65535 after the host `b`, actual `70000`",
        ),
        (
            "esdb://[::1",
            "connection string: expected `[IPv6]` or `[IPv6]:port`, actual a `[` without its `]`, or a text behind it",
        ),
        (
            "esdb://admin@a",
            "connection string: expected `user:password` before `@`, actual no `:` there",
        ),
        (
            "esdb://a?tls=maybe",
            "connection string: `tls`: expected `true` or `false`, actual `maybe`",
        ),
        (
            "esdb://a?tls",
            "connection string: expected `name=value` after `?` and `&`, actual `tls`",
        ),
        (
            "esdb://a?keepAliveInterval=0",
            "connection string: `keepAliveInterval`: expected milliseconds above 0, or -1 for never, actual `0`",
        ),
        (
            "esdb://a?maxDiscoverAttempts=x",
            "connection string: `maxDiscoverAttempts`: expected a number above 0, or -1 for no limit, actual `x`",
        ),
        (
            "esdb://a?nodePreference=boss",
            "connection string: `nodePreference`: expected `leader`, `follower`, `random` or `readOnlyReplica`, actual `boss`",
        ),
        (
            "esdb://a?userCertFile=x",
            "connection string: expected `userCertFile` and `userKeyFile` together, actual one of them",
        ),
        (
            "esdb://u:%é@a",
            "connection string: a `%` must be followed by two hexadecimal digits and give UTF-8; write a plain `%` as `%25`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn the_strings_of_the_old_client_are_refused_with_what_to_write_instead() {
    let old = "the TCP protocol of EventStoreDB 5 is not spoken: use the gRPC interface of server 20.6 or newer, write ";
    let cases = [
        (
            "ConnectTo=tcp://admin:changeit@source:1113; HeartBeatTimeout=500",
            "`esdb://admin:<password>@source:2113?tls=false`",
        ),
        ("tcp://admin:changeit@10.0.0.1:1113", "`esdb://admin:<password>@10.0.0.1:2113?tls=false`"),
        (
            "GossipSeeds=10.0.0.1:2112,10.0.0.2:2114;DefaultUserCredentials=u:secret",
            "`esdb://u:<password>@10.0.0.1:2112,10.0.0.2:2114?tls=false`",
        ),
        (
            "ConnectTo=discover://u:secret@es.local:2113;UseSslConnection=true",
            "`esdb+discover://u:<password>@es.local:2113?tls=true`",
        ),
        ("discover://es.local", "`esdb+discover://es.local:2113?tls=false`"),
        ("HeartBeatTimeout=500", "`esdb://user:<password>@host:2113?tls=false`"),
    ];
    for (text, instead) in cases {
        let message = refusal(text);
        assert_eq!(message, format!("connection string: {old}{instead}"), "{text}");
    }
}

#[test]
fn a_text_that_is_no_scheme_is_not_shown_since_it_may_have_a_password() {
    let refusal = refusal("DefaultUserCredentials=admin:changeit; ConnectTo=esdb://host");
    assert!(refusal.contains("actual another text") && !refusal.contains("changeit"), "{refusal}");
    let misspelt = self::refusal("esbd://host");
    assert!(misspelt.contains("actual `esbd`"), "{misspelt}");
}
