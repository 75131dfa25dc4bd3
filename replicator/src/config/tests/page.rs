//! Tests that the table of keys, the code that reads, the page and the files of the image agree.

use std::collections::BTreeSet;

use super::*;

/// A configuration with an element in every list, so that every key is asked for.
fn everything() -> Loaded {
    let text = r#"{
      "Settings": { "SourceEventStoreConnectionString": "esdb://a:1", "DestinationEventStoreConnectionString": "esdb://b:1",
        "Subscriptions": [ { "StreamName": "a", "GroupName": "g", "FilterPrefixes": ["x"], "Journal": { "Place": "x", "ContactPoints": ["x"] } } ],
        "Journal": { "Place": "x", "ContactPoints": ["x"] },
        "Filters": [ { "Value": "x" } ], "Renames": [ { "From": "a", "To": "b" } ] },
      "Serilog": { "MinimumLevel": { "Override": { "x": "Error" } }, "Using": ["x"], "Enrich": ["FromLogContext", { "Name": "WithProperty", "Args": { "name": "x", "value": "y" } }], "Properties": { "x": "y" },
        "WriteTo": [ { "Name": "Console", "Args": {} }, "Console", { "Name": "Splunk", "Args": { "x": "y" } },
          { "Name": "Seq", "Args": { "serverUrl": "http://seq" } }, { "Name": "DatadogLogs", "Args": { "apiKey": "x", "tags": ["x"] } } ] } }"#;
    parse(text, []).unwrap()
}

fn pattern(key: &str) -> String {
    let named =
        ["Serilog:Properties:", "Serilog:MinimumLevel:Override:", "Serilog:WriteTo:2:Args:"];
    if let Some(prefix) = named.iter().find(|prefix| key.starts_with(**prefix)) {
        return format!("{prefix}*").replace(":2:", ":*:");
    }
    if let Some((before, after)) = key.split_once(":Journal:")
        && !["Kind", "Place"].contains(&after)
    {
        return format!("{}:Journal:*", pattern(before));
    }
    let parts = key.split(':').map(|part| if part.parse::<u32>().is_ok() { "*" } else { part });
    parts.collect::<Vec<_>>().join(":")
}

#[test]
fn the_list_of_keys_holds_exactly_what_is_read_with_its_default() {
    let loaded = everything();
    let mut read: BTreeSet<String> = loaded.effective.iter().map(|one| pattern(&one.key)).collect();
    // these keys stand for others: the short form of the level, and the arguments that only warn
    read.insert("Serilog:MinimumLevel".to_owned());
    for warned in ["outputTemplate", "theme"] {
        read.remove(&format!("Serilog:WriteTo:*:Args:{warned}"));
    }

    let listed: BTreeSet<String> = KEYS.iter().map(|key| key.key.to_owned()).collect();
    assert_eq!(
        listed.difference(&read).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "listed, not read"
    );
    assert_eq!(
        read.difference(&listed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "read, not listed"
    );

    for one in loaded.effective.iter().filter(|one| one.from == "default") {
        let Some(key) = KEYS.iter().find(|key| key.key == pattern(&one.key)) else { continue };
        if key.key != "Health:Enabled" {
            assert_eq!(one.value, key.default, "{}", key.key);
        }
    }
}

/// The rows of a table for the page.
fn markdown(keys: &[Key]) -> String {
    let mut table = String::from("| Key | Default | Takes | What it does |\n|---|---|---|---|\n");
    for Key { key, default, expected, about } in keys {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        table += &format!("| `{key}` | {default} | {expected} | {about} |\n");
    }
    table
}

#[test]
fn the_page_of_settings_has_exactly_the_table_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/replicator/settings.md");
    let page = std::fs::read_to_string(path).unwrap();
    let is_row = |line: &&str| line.starts_with("| `") || line.starts_with("|---|---|---|---|");
    let start = page.find("| Key | Default |").expect("the page has the table");
    let rows = page[start..].lines().skip(1).take_while(is_row).count();
    let old: usize = page[start..].split_inclusive('\n').take(rows + 1).map(str::len).sum();
    let table = markdown(&KEYS);
    if std::env::var_os("REWRITE").is_some() {
        let page = page[..start].to_owned() + &table + &page[start + old..];
        std::fs::write(path, page).unwrap();
        return;
    }
    let other =
        page[start..start + old].lines().zip(table.lines()).find(|(page, code)| page != code);
    assert!(
        page[start..start + old] == table,
        "docs/replicator/settings.md differs from the code, at {other:?}: write its table again by `REWRITE=1 cargo test -p antiphon-replicator --lib page_of_settings`"
    );
}

#[test]
fn every_bound_of_the_page_is_kept() {
    let mut count = 0;
    for key in KEYS.iter() {
        let number = |text: &str| text.parse::<u64>().ok();
        let ends = key.expected.split_once(" to ");
        let ends = ends.and_then(|(min, max)| Some((number(min)?, number(max)?)));
        let Some((min, max)) = ends else { continue };
        let key = key.key.replace('*', "0");
        for wrong in [min.checked_sub(1), Some(max + 1)].into_iter().flatten() {
            let name = format!("Ditto_{}", key.replace(':', "__"));
            // the arguments of a sink of logs are read when there is such a sink
            let messages = ["Seq", "DatadogLogs"].map(|sink| {
                let wrong = wrong.to_string();
                let mut set = vec![(&*name, &*wrong)];
                if key.starts_with("Serilog:WriteTo:") {
                    set.push(("Ditto_Serilog__WriteTo__0__Name", sink));
                }
                parse(DITTO, variables(&set)).err().map_or(String::new(), |error| error.to_string())
            });
            let expected = format!("`{key}`: expected a number");
            assert!(messages.iter().any(|one| one.contains(&expected)), "{key}: {messages:?}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_file_of_the_image_is_understood_as_a_whole_and_serves_metrics() {
    let text = include_str!("../../../../deploy/replicator/appsettings.json");
    let set = [
        ("Ditto_Settings__SourceEventStoreConnectionString", "esdb://source:2113?tls=false"),
        ("Ditto_Settings__DestinationEventStoreConnectionString", "esdb://destination:2113"),
        ("Ditto_Settings__Subscriptions__0__StreamName", "$ce-customer"),
        ("Ditto_Settings__Subscriptions__0__GroupName", "ditto"),
    ];
    let loaded = parse(text, variables(&set)).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(loaded.config.metrics.enabled && loaded.config.health.enabled);
}

#[test]
fn the_compose_file_sets_only_keys_that_exist() {
    let text = include_str!("../../../../deploy/replicator/compose.yaml");
    let set: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Ditto_")?.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert!(set.len() > 5, "{set:?}");
    for name in set {
        let key = pattern(&name.replace("__", ":"));
        assert!(KEYS.iter().any(|known| known.key == key), "{name}");
    }
}
