//! Tests of the configuration, on whole files and environments.

mod page;

use std::time::Duration;

use super::*;

const DITTO: &str = r#"{
  "Settings": {
    "SourceEventStoreConnectionString": "esdb://admin:changeit@source:2113?tls=false",
    "DestinationEventStoreConnectionString": "esdb://admin:changeit@destination:2113?tls=false",
    "Subscriptions": [ { "StreamName": "$ce-customer", "GroupName": "ditto" } ]
  }
}"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_file_of_ditto_gives_the_defaults_of_ditto() {
    let loaded = parse(DITTO, []).unwrap();

    let settings = loaded.config.settings;
    assert_eq!(settings.source.expose(), "esdb://admin:changeit@source:2113?tls=false");
    assert_eq!(settings.subscriptions.len(), 1);
    let subscription = &settings.subscriptions[0];
    assert_eq!(subscription.kind, SubscriptionKind::Group);
    assert_eq!((&*subscription.stream_name, &*subscription.group_name), ("$ce-customer", "ditto"));
    assert_eq!(settings.buffer_size, 10);
    assert_eq!(settings.pipeline.throttle, Duration::ZERO);
    assert!(!settings.skip_version_check && !settings.read_only);
    assert_eq!(settings.time_to_live, None);
    assert!(!loaded.config.metrics.enabled && !loaded.config.health.enabled);
    assert_eq!(
        (loaded.config.metrics.port, loaded.config.metrics.route()),
        (5000, "/metrics".into())
    );
    assert_eq!(loaded.config.aws.retry_mode, RetryMode::Standard);
    assert_eq!(loaded.config.serilog, SerilogSettings::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn variables_of_ditto_are_read_over_the_file() {
    let loaded = parse(
        DITTO,
        variables(&[
            ("Ditto_Settings__Subscriptions__0__GroupName", "other"),
            ("Ditto_Settings__Subscriptions__1__StreamName", "$ce-order"),
            ("Ditto_Settings__Subscriptions__1__GroupName", "ditto"),
            ("Ditto_Settings__PersistentSubscriptionBufferSize", "100"),
            ("Ditto_Settings__ReplicationThrottleInterval", "50"),
            ("Ditto_Settings__SkipVersionCheck", "True"),
            ("Ditto_Settings__ReadOnly", " true "),
            ("Ditto_Settings__TimeToLive", "7"),
            ("ditto_metrics:enabled", "true"),
            ("Ditto_Metrics__Port", ""),
        ]),
    )
    .unwrap();

    let settings = loaded.config.settings;
    let groups: Vec<_> = settings.subscriptions.iter().map(|one| one.group_name.as_str()).collect();
    assert_eq!(groups, ["other", "ditto"]);
    assert_eq!(settings.buffer_size, 100);
    assert_eq!(settings.pipeline.throttle, Duration::from_millis(50));
    assert!(settings.skip_version_check && settings.read_only);
    assert_eq!(settings.time_to_live, Some(Duration::from_secs(7 * 86_400)));
    assert!(loaded.config.metrics.enabled && loaded.config.health.enabled);
    assert_eq!(loaded.config.metrics.port, 5000, "an empty variable counts as not given");
}

/// A variable without its prefix, its value, and a part of the refusal.
const BAD_VALUES: &str = r#"
Settings__SkipVersionCheck=yes -> `Settings:SkipVersionCheck`: expected `true` or `false`, actual `yes` (environment variable `Ditto_Settings__SkipVersionCheck`)
Settings__PersistentSubscriptionBufferSize=0 -> `Settings:PersistentSubscriptionBufferSize`: expected a number from 1 to 10000, actual `0`
Settings__PersistentSubscriptionBufferSize=-1 -> `Settings:PersistentSubscriptionBufferSize`: expected a number from 1 to 10000, actual `-1`
Settings__TimeToLive=soon -> `Settings:TimeToLive`: expected a TimeSpan
Settings__Sink=kafka -> `Settings:Sink`: expected one of `eventstore`, `kinesis`, `ndjson`, `journal`, actual `kafka`
Settings__Sink=ndjson -> `Settings:NdjsonPath`: expected the path of a file, or `-`, actual none
Settings__Sink=kinesis -> `Kinesis:StreamName`: expected the name of a Kinesis stream, actual none
Settings__Lanes=1000 -> `Settings:Lanes`: expected a number from 1 to 256, actual `1000`
Settings__Subscriptions__0__Kind=all -> `Settings:Subscriptions:0:GroupName`: expected none
Settings__Subscriptions__1__StreamName=x -> `Settings:Subscriptions:1:GroupName`: expected the name of a persistent subscription group
Settings__Filters__0__Match=glob -> `Settings:Filters:0:Match`: expected one of `exact`, `prefix`, `regex`, actual `glob`
Settings__Filters__0__Value= ->
Settings__Filters__0__Action=include -> `Settings:Filters:0:Value`: expected a text to compare with, actual none
Settings__Renames__0__From=a -> `Settings:Renames:0:To`: expected the new name, actual none
Settings__LoopPrevention__Enabled=true -> `Settings:LoopPrevention:SourceName`: expected a name for this place
Settings__Transform__Url=https://u:secret@h/x -> `Settings:Transform:Url`: expected a URL `http://host:port/path` (for TLS put a proxy beside it), actual `https://u:***@h/x`
Settings__Transform__Url=http://u:secret@h:70000/x -> `Settings:Transform:Url`: expected a URL `http://host:port/path` (for TLS put a proxy beside it) with a port from 1 to 65535, actual `http://u:***@h:70000/x`
Settings__SourceEventStoreConnectionString=esdb://a:sec?ret@h -> `Settings:SourceEventStoreConnectionString`: connection string: expected no `@` after the first `?`
Settings__DestinationEventStoreConnectionString=esdb://h:70000 -> `Settings:DestinationEventStoreConnectionString`: connection string: expected a port from 1 to 65535 after the host `h`, actual `70000`
Metrics__Host=some.host -> `Metrics:Host`: expected `+` or an IP address, actual `some.host`
Metrics__Path=/health/live -> `Metrics:Path`: expected a path
Metrics__Port=70000 -> `Metrics:Port`: expected a number from 0 to 65535, actual `70000`
Health__StallTime=00:00:00 -> `Health:StallTime`: expected a TimeSpan from `00:00:01` to `1.00:00:00`, actual `00:00:00`
AWS__ServiceURL=localhost:4567 -> `AWS:ServiceURL`: expected a URL `http://host:port/path` or `https://host:port/path`, actual `localhost:4567`
Serilog__WriteTo__0=Seq -> `Serilog:WriteTo:0:Args:serverUrl`: expected the address of the Seq server, actual none
Serilog__WriteTo__0=DatadogLogs -> `Serilog:WriteTo:0:Args:apiKey`: expected the API key of Datadog, actual none
Serilog__MinimumLevel__Default=Trace -> `Serilog:MinimumLevel:Default`: expected one of `Verbose`
"#;

#[test]
fn a_bad_value_is_named_with_its_key_and_what_was_expected() {
    for line in BAD_VALUES.trim().lines() {
        let (set, expected) = line.split_once(" ->").unwrap();
        let ((name, value), expected) = (set.split_once('=').unwrap(), expected.trim());
        let outcome = parse(DITTO, variables(&[(&format!("Ditto_{name}"), value)]));
        if expected.is_empty() {
            assert!(outcome.is_err(), "{name}: an element without a value is no rule");
            continue;
        }
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(expected), "{name}={value}: {message}");
        assert!(!message.contains("secret") && !message.contains("changeit"), "{message}");
    }
}

#[test]
fn nothing_at_all_says_everything_that_is_missing_at_once() {
    let message = parse("{}", []).unwrap_err().to_string();
    for key in ["Settings:Subscriptions", "Settings:DestinationEventStoreConnectionString"] {
        assert!(message.contains(&format!("`{key}`: expected")), "{message}");
    }
    assert!(message.contains("2 problems"), "{message}");
}

#[test]
fn every_problem_and_every_warning_is_in_one_answer_without_a_password() {
    let set = [
        ("Ditto_Settings__Streams__0__StreamName", "$ce-a"),
        ("Ditto_SourceEventStoreConnectionString", "esdb://admin:QQ@a"),
        ("Ditto_Settings__SourceEventStoreConnectionString", "ConnectTo=tcp://admin:Q;Q@a:1113"),
        ("Ditto_Settings__DestinationEventStoreConnectionString", "esdb://admin:QQ@a:70000"),
        ("Ditto_Settings__Lanes", "0"),
        ("Ditto_Metrics__Port", "70000"),
        ("Ditto_Settings__Subscriptions__0__Kind", "all"),
        ("Ditto_Settings__Filters__0__Match", "glob"),
    ];
    let message = parse("{}", variables(&set)).unwrap_err().to_string();
    for part in [
        "configuration: 6 problems",
        "`Settings:SourceEventStoreConnectionString`: connection string: the TCP protocol",
        "`Settings:DestinationEventStoreConnectionString`: connection string: expected a port",
        "`Settings:Lanes`: expected",
        "`Metrics:Port`: expected",
        "`Settings:Filters:0:Match`: expected",
        "`Settings:Filters:0:Value`: expected",
        "warning: `Settings:Streams:0:StreamName` (",
        "the nearest known key is `Settings:Subscriptions:0:StreamName`",
        "warning: `SourceEventStoreConnectionString` (",
        "the nearest known key is `Settings:SourceEventStoreConnectionString`",
    ] {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
    assert!(!message.contains('Q'), "{message}");
}

#[test]
fn unknown_parameters_of_a_connection_string_are_warned_of_and_an_unused_string_is_no_problem() {
    let source = "esdb://a?tls=false&nodePreferences=leader&colour=red";
    let set = [("Ditto_Settings__SourceEventStoreConnectionString", source)];
    let loaded = parse(DITTO, variables(&set)).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "`Settings:SourceEventStoreConnectionString`: the parameter `nodePreferences` of the connection string is unknown, it has no effect; the nearest known one is `nodePreference`",
            "`Settings:SourceEventStoreConnectionString`: the parameter `colour` of the connection string is unknown, it has no effect",
        ]
    );
    let set = [
        ("Ditto_Kinesis__StreamName", "x"),
        ("Ditto_Settings__DestinationEventStoreConnectionString", "ConnectTo=tcp://a:1113"),
    ];
    let warnings = parse(DITTO, variables(&set)).unwrap().warnings.join(" ");
    assert!(
        warnings.contains("not used here, and wrong: connection string: the TCP"),
        "{warnings}"
    );
}

#[test]
fn an_invalid_regex_shows_where() {
    let filter = [
        ("Ditto_Settings__Filters__0__Match", "regex"),
        ("Ditto_Settings__Filters__0__Value", "a("),
    ];
    let message = parse(DITTO, variables(&filter)).unwrap_err().to_string();
    assert!(
        message.contains("`Settings:Filters:0:Value`: expected a regular expression, actual `a(`"),
        "{message}"
    );
    assert!(message.contains("unclosed group"), "{message}");
}

#[test]
fn an_unknown_key_is_warned_about_with_the_nearest_known_one() {
    let loaded = parse(
        DITTO,
        variables(&[
            ("Ditto_Settings__Streams__0__StreamName", "$ce-a"),
            ("Ditto_AWS__SecretKey", "abc"),
        ]),
    )
    .unwrap();

    let expected = "`Settings:Streams:0:StreamName` (environment variable `Ditto_Settings__Streams__0__StreamName`): unknown key, it has no effect; the nearest known key is `Settings:Subscriptions:0:StreamName`";
    assert!(loaded.warnings.iter().any(|warning| warning == expected), "{:?}", loaded.warnings);
    assert_eq!(loaded.warnings.len(), 2);
    assert!(!format!("{:?}", loaded.warnings).contains("abc"));
}

#[test]
fn serilog_is_read_as_far_as_it_means_something() {
    let loaded = parse(
        r#"{ "Serilog": { "Using": ["Serilog.Sinks.Console"], "MinimumLevel": { "Default": "Information", "Override": { "tonic": "Error" } },
             "WriteTo": [ { "Name": "Console", "Args": { "formatter": "Serilog.Formatting.Compact.CompactJsonFormatter, Serilog.Formatting.Compact",
               "restrictedToMinimumLevel": "Warning" } }, { "Name": "Seq", "Args": { "serverUrl": "http://seq", "apiKey": "abc", "compact": true } },
               { "Name": "DatadogLogs", "Args": { "apiKey": "abc", "source": "ditto", "service": "s", "host": "h", "tags": ["a:b", "c:d"], "logLevel": "Error",
                 "configuration": { "url": "intake.logs.datadoghq.eu", "port": 10516, "useSSL": true, "useTCP": true } } }, { "Name": "Splunk" } ],
             "Enrich": ["FromLogContext", "WithMachineName", "WithThreadId", { "Name": "WithProperty", "Args": { "name": "Place", "value": "berlin" } }], "Properties": { "ApplicationName": "Ditto" } },
             "Kinesis": { "StreamName": "ditto" },
             "Settings": { "SourceEventStoreConnectionString": "esdb://a:1", "Subscriptions": [ { "StreamName": "a", "GroupName": "g" } ] } }"#,
        [],
    )
    .unwrap();

    let serilog = &loaded.config.serilog;
    assert_eq!((serilog.level, serilog.console_level), (Level::Information, Level::Warning));
    assert_eq!(serilog.overrides, [("tonic".to_owned(), Level::Error)]);
    assert_eq!(serilog.format, LogFormat::CompactJson);
    let properties = [("ApplicationName", "Ditto"), ("Place", "berlin")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((&serilog.properties[..], serilog.with_machine_name), (&properties[..], true));
    let [(seq_at, LogSinkSettings::Seq(seq)), (_, LogSinkSettings::Datadog(datadog))] =
        &serilog.sinks[..]
    else {
        panic!("{:?}", serilog.sinks);
    };
    assert_eq!((&**seq_at, seq.url.expose()), ("Serilog:WriteTo:1:Args", "http://seq"));
    assert_eq!(seq.ship.api_key.as_ref().unwrap().expose(), "abc");
    assert_eq!(datadog.intake().expose(), "https://http-intake.logs.datadoghq.eu");
    assert_eq!((&*datadog.source, &datadog.tags[..]), ("ditto", &["a:b".into(), "c:d".into()][..]));
    assert_eq!((&datadog.service, &datadog.host), (&Some("s".into()), &Some("h".into())));
    assert_eq!(datadog.level, Level::Error);
    assert_eq!(loaded.config.sink(), SinkKind::Kinesis);
    for part in [
        "`Serilog:WriteTo:1:Args:compact`: has no effect here",
        "`Serilog:WriteTo:2:Args:configuration:useTCP`: has no effect",
        "`Serilog:WriteTo:3:Name`: the sink `Splunk` is not supported",
        "`Serilog:Enrich:2`: the enricher `WithThreadId` is not known",
    ] {
        assert!(loaded.warnings.iter().any(|one| one.starts_with(part)), "{:?}", loaded.warnings);
    }
    assert_eq!(loaded.warnings.len(), 4, "{:?}", loaded.warnings);
    assert!(!format!("{loaded:?}").contains("abc"));
}

#[test]
fn what_is_seldom_meant_gets_a_warning() {
    let filter = [
        ("Ditto_Settings__Filters__0__Field", "type"),
        ("Ditto_Settings__Filters__0__Value", "Created"),
    ];
    let loaded = parse(DITTO, variables(&filter)).unwrap();
    assert!(loaded.warnings[0].contains("taken as `true`"), "{:?}", loaded.warnings);

    let loaded = parse(DITTO, variables(&[("Ditto_Kinesis__StreamName", "x")])).unwrap();
    assert!(loaded.warnings[0].contains("not used"), "{:?}", loaded.warnings);
}

#[test]
fn no_password_shows_in_anything_that_is_printed() {
    let loaded = parse(DITTO, []).unwrap();
    let shown = format!("{loaded:?}");
    assert!(shown.contains("admin:***@source") && !shown.contains("changeit"), "{shown}");
}

#[test]
fn what_is_in_effect_is_listed_with_its_layer() {
    let loaded = parse(DITTO, variables(&[("Ditto_Settings__Lanes", "4")])).unwrap();
    let find = |key: &str| loaded.effective.iter().find(|one| one.key == key).cloned().unwrap();
    assert_eq!(find("Settings:Lanes").value, "4");
    assert_eq!(find("Settings:Lanes").from, "environment variable `Ditto_Settings__Lanes`");
    assert_eq!(find("Settings:BatchEventsMax").from, "default");
    assert_eq!(find("Settings:Subscriptions:0:GroupName").from, "appsettings.json");
}
