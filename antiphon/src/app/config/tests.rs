//! The documented file, and the refused configurations and their errors.

use std::path::Path;

use toml::{Table, Value};

use super::*;

fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    super::parse(text, variables, &Known::default())
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_documented_file_is_the_default_and_names_every_key() {
    let text = include_str!("../node.toml");
    let config = parse(text, []).unwrap();
    assert_eq!(config, Config::defaults().unwrap());

    let all = Table::try_from(Config::defaults().unwrap()).unwrap();
    let mut missing = Vec::new();
    keys(&all, text, &mut missing);
    assert!(missing.is_empty(), "deploy/node.toml does not document {missing:?}");
}

fn keys(table: &Table, text: &str, missing: &mut Vec<String>) {
    for (key, value) in table {
        if let Value::Table(table) = value {
            keys(table, text, missing);
        } else if !text.contains(&format!("{key} = ")) {
            missing.push(key.clone());
        }
    }
}

#[test]
fn a_kind_that_this_program_lacks_is_refused_where_it_is_used_only() {
    let stores = crate::persistence::store::Registry::default().with(crate::sqlite::SqliteKind);
    let stores = stores.without("cassandra", "build it with `--features cassandra`");
    let settings = "[cassandra]\nlanes = 3";
    let config = super::parse(settings, [], &stores.clone().into()).unwrap();
    assert!(!config.tables.contains_key("cassandra"), "{:?}", config.tables);
    let error =
        super::parse("journal = { kind = 'cassandra' }", [], &stores.clone().into()).unwrap_err();
    assert!(error.to_string().contains("build it with `--features cassandra`"), "{error}");
}

#[test]
fn unknown_keys_and_bad_values_are_named_with_what_was_expected() {
    for (text, expected) in [
        ("jurnal = 'x'", vec!["jurnal", "expected one of", "journal"]),
        ("[node]\nname = 5", vec!["line 2", "`name`", "`5`", "expected a string"]),
        ("[node]\nrenew_timeout = '5'", vec!["renew_timeout", "\"3s\"", "actual \"5\""]),
        ("[sharding]\nask_timeout = '0s'", vec!["`ask_timeout`", "at least 1ms"]),
        ("[node]\nname = 'a@b'", vec!["a@b", "expected no `@`"]),
        ("bind = 'localhost'", vec!["bind", "socket address"]),
        ("[[peers]]\nplace = 'x|y'\njournal = 'z'", vec!["x|y"]),
        ("node = ", vec!["line 1"]),
        ("log = 'info'\nlog = 'warn'", vec!["line 2", "`log` is there twice"]),
        ("[node]\nname = 'a'\n[node]", vec!["line 3", "`node` is there twice"]),
        ("journal = 5", vec!["journal", "expected the path", "actual integer"]),
        ("journal = { kind = 'oracle' }", vec!["kind", "cassandra", "oracle"]),
        ("journal = { path = 'x' }", vec!["kind", "cassandra", "actual none"]),
        ("journal = { kind = 'cassandra', keyspaces = 'x' }", vec!["keyspaces", "`keyspace`"]),
        ("journal = { kind = 'cassandra', keyspace = 'a-b' }", vec!["keyspace", "a-b"]),
        (
            "journal = { kind = 'cassandra', consistency = 'two' }",
            vec!["consistency", "two", "local_quorum"],
        ),
        ("journal = { kind = 'cassandra', contact_points = [] }", vec!["contact_points"]),
        ("[cassandra]\nlanes = 0", vec!["line 2", "`cassandra`", "`lanes`", "at least 1"]),
        ("\n[sqlite]\nrole = 'owner'\nreaders = 1", vec!["line 4", "`readers`", "`reader_count`"]),
        ("[sqlite]\nreader_count = 'two'", vec!["line 2", "`reader_count`", "expected usize"]),
        ("sqlite = 5", vec!["line 1", "`sqlite`", "expected a table"]),
        ("log = 'info'\njurnal = 'x'", vec!["line 2", "jurnal"]),
    ] {
        let message = parse(text, []).unwrap_err().to_string();
        for part in expected {
            assert!(message.contains(part), "{text:?}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn others_reach_a_node_by_its_advertised_host() {
    let everywhere = "0.0.0.0:8080".parse().unwrap();
    let config = parse("advertised_host = 'node-1.example'", []).unwrap();
    assert_eq!(config.advertised(everywhere), "node-1.example:8080");
    assert_eq!(Config::defaults().unwrap().advertised(everywhere), "0.0.0.0:8080");
}

#[test]
fn a_journal_that_keeps_nothing_is_refused_wherever_it_is_named() {
    for path in ["", "  ", ":memory:", "file::memory:", "file:x.db?mode=memory&cache=shared"] {
        for text in [
            format!("journal = {path:?}"),
            format!("journal = {{ kind = 'sqlite', path = {path:?} }}"),
            format!("[[peers]]\nplace = 'B'\njournal = {path:?}"),
        ] {
            let message = parse(&text, []).unwrap_err().to_string();
            assert!(message.contains("`journal`") && message.contains("expected"), "{message}");
        }
        let message = parse("", variables(&[("ANTIPHON_JOURNAL", path)])).unwrap_err().to_string();
        assert!(message.contains("`journal`"), "{message}");
    }
}

#[test]
fn rules_between_settings_are_the_same_for_every_command() {
    for (text, expected) in [
        ("log = 'inof'", vec!["`log`", "inof", "`info`"]),
        ("log = 'antiphon=inof'", vec!["`log`", "antiphon=inof"]),
        ("log = ''", vec!["`log`"]),
        ("bind = '127.0.0.1:7'\nhttp_bind = '0.0.0.0:7'", vec!["`http_bind`", "`bind`", ":7"]),
        ("[[peers]]\nplace = 'place'\njournal = 'z'", vec!["`peers`", "`node.place`"]),
        (
            "[[peers]]\nplace = 'B'\njournal = 'y'\n[[peers]]\nplace = 'B'\njournal = 'z'",
            vec!["`peers`", "\"B\" twice"],
        ),
        ("[node]\nshard_count = 2000", vec!["`shard_count`", "at most 1024", "2000"]),
        ("[node]\nstore_timeout = '9s'", vec!["`renew_timeout`", "`store_timeout`"]),
        ("[sharding]\nhome_timeout = '20s'", vec!["`ask_timeout`", "`home_timeout`"]),
        ("[sqlite]\nbusy_timeout = '5000000h'", vec!["`busy_timeout`", "at most"]),
        ("[sqlite]\nreader_count = 9223372036854775807", vec!["`reader_count`", "at most"]),
        ("[sharding.entity]\nrecoveries_max = 9223372036854775807", vec!["`recoveries_max`"]),
        ("[sharding]\nloop_changes_max = 9223372036854775807", vec!["`loop_changes_max`"]),
        ("[links]\ncluster_name = 'x'", vec!["cluster_name", "unknown field"]),
        ("[log_repeats]\nburst_max = 0", vec!["`log_repeats`", "`burst_max`"]),
    ] {
        let message = parse(text, []).unwrap_err().to_string();
        for part in expected {
            assert!(message.contains(part), "{text:?}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn what_makes_sense_is_taken() {
    for log in ["info", "INFO", "off", "info,antiphon=debug", "warn,[span{a=1}]=trace"] {
        filter(log).unwrap();
    }
    parse("bind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'", []).unwrap();
    parse("bind = '127.0.0.1:7'\nhttp_bind = '127.0.0.2:7'", []).unwrap();
}

/// Every number and duration of the configuration, at extreme values: the value is accepted, or
/// refused by name, and nothing panics.
#[test]
fn a_value_of_a_field_in_the_log_filter_is_no_regular_expression() {
    // as a regular expression, it takes more than ten seconds
    filter(&format!("warn,a[b{{c=1{}}}]=trace", ".".repeat(103))).unwrap();
    filter("warn,a[b{c=(}]=trace").unwrap();
}

#[test]
fn any_value_is_taken_or_refused_by_its_name() {
    let paths = numbers_of(&Table::try_from(Config::defaults().unwrap()).unwrap());
    assert!(paths.len() > 80, "{} settings", paths.len());
    for (path, is_duration) in paths {
        let values: &[&str] = if is_duration {
            &["'0s'", "'1ms'", "'5000000h'", "'18446744073709551615ms'", "'5124095576030431h'"]
        } else {
            &["0", "1", "-1", "65535", "65536", "2147483648", "4294967295", "9223372036854775807"]
        };
        for value in values {
            let text = format!("{} = {value}", path.join("."));
            if let Err(error) = parse(&text, []) {
                let (message, key) = (error.to_string(), path.last().expect("a key"));
                assert!(message.contains(&**key), "{text:?}: {message}");
            }
        }
    }
}

/// The comment above each number and duration contains its upper bound, as the error names it.
#[test]
fn the_documented_file_names_every_bound() {
    let text = include_str!("../node.toml");
    let mut missing = Vec::new();
    for (path, is_duration) in numbers_of(&Table::try_from(Config::defaults().unwrap()).unwrap()) {
        let (key, shown) = (path.last().expect("a key"), path.join("."));
        let beyond: &[&str] = if is_duration {
            &["'5000000h'"]
        } else {
            &["65535", "4294967295", "4294967296", "9223372036854775807"]
        };
        let errors: Vec<String> = beyond
            .iter()
            .filter_map(|value| parse(&format!("{shown} = {value}"), []).err())
            .map(|error| error.to_string())
            .collect();
        let bound = errors.iter().find_map(|error| {
            let said = error.split("expected at most ").nth(1)?;
            Some(said.split([',', ' ']).next()?.to_owned())
        });
        let is_said_otherwise = errors.iter().any(|error| error.contains(&format!("`{key}`")));
        if bound.is_none() && is_said_otherwise {
            continue;
        }
        let bound = match bound.as_deref() {
            None => "(it has no upper bound)",
            Some("3600s") => "1h",
            Some("31536000s") => "365 days",
            Some(other) => other,
        };
        if !comment_above(text, &path, key).contains(&format!("at most {bound}")) {
            missing.push(format!("{shown}: `at most {bound}`"));
        }
    }
    assert!(missing.is_empty(), "deploy/node.toml does not say:\n{}", missing.join("\n"));
}

/// The paths of all numbers and durations, and whether each is a duration.
fn numbers_of(table: &Table) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let is_duration = |text: &String| {
            text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h'])
        };
        match value {
            Value::Table(table) => {
                for (mut path, is_duration) in numbers_of(table) {
                    path.insert(0, key.clone());
                    found.push((path, is_duration));
                }
            }
            Value::Integer(_) => found.push((vec![key.clone()], false)),
            Value::String(text) if is_duration(text) => found.push((vec![key.clone()], true)),
            Value::String(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {}
        }
    }
    found
}

/// The comment above a key, or at the head of its table.
fn comment_above(text: &str, path: &[String], key: &str) -> String {
    let table = path[..path.len() - 1].join(".");
    let (mut at, mut comment) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            at = header.trim_end_matches(']').to_owned();
        }
        if at == table && line.starts_with(&format!("{key} = ")) {
            return comment.to_lowercase();
        }
        match line.strip_prefix('#') {
            Some(rest) => comment.push_str(rest),
            None => comment.clear(),
        }
    }
    String::new()
}

#[test]
fn a_check_looks_at_the_files_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("text.db"), "this is a text of some length, and no database").unwrap();
    let own = at("own.db");
    for (text, parts) in [
        (format!("journal = {:?}", at("no/a.db")), vec!["`journal`", "no/a.db", "folder"]),
        (format!("journal = {:?}", folder.path()), vec!["`journal`", "a folder"]),
        ("journal = '/dev/null'".to_owned(), vec!["`journal`", "/dev/null", "device"]),
        (format!("journal = {:?}", at("text.db")), vec!["text.db"]),
        (
            format!("journal = {own:?}\n[[peers]]\nplace = 'B'\njournal = {own:?}"),
            vec!["`peers`", "\"B\"", "that of this node"],
        ),
        (
            format!("journal = {own:?}\n[[peers]]\nplace = 'B'\njournal = '/dev/null'"),
            vec!["`peers`", "\"B\"", "device"],
        ),
        (
            format!("journal = {own:?}\nhttp_bind = '192.0.2.1:0'"),
            vec!["`http_bind`", "192.0.2.1:0", "of this machine"],
        ),
        (
            format!("journal = {own:?}\n[sqlite]\nrole = 'reader'"),
            vec!["`sqlite.role`", "\"owner\""],
        ),
        ("bind = '0.0.0.0:0'".to_owned(), vec!["`advertised_host`", "`bind`", "0.0.0.0:0"]),
        (
            "journal = { kind = 'cassandra', tls = { ca_file = '/no/ca.pem' } }".to_owned(),
            vec!["`tls.ca_file`", "/no/ca.pem"],
        ),
    ] {
        let message = parse(&text, []).unwrap().check_files().unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{text:?}: {part:?} is not in {message:?}");
        }
    }
    let peer = format!("[[peers]]\nplace = 'B'\njournal = {:?}", at("later/b.db"));
    parse(&format!("journal = {own:?}\n{peer}"), []).unwrap().check_files().unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_pipe_or_a_folder_is_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), folder.path(), Path::new("/dev/null")] {
        let message = ConfigFile::new(path, crate::stores()).load().unwrap_err().to_string();
        assert!(message.contains("expected a file") && message.contains(path.to_str().unwrap()));
    }
}
