//! The answers to a user when a setting is wrong, a server speaks otherwise, or events wait for a
//! person.

use std::path::Path;

use antiphon_eventstore as es;
use antiphon_eventstore_testserver::{ServerSettings, TlsFiles};
use bytes::Bytes;

use crate::support::{Pair, Setup, append, client, event, pair, server, server_with, wait_for};

const PLAIN: &str = "esdb://localhost:2113?tls=false";

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_and_every_warning_of_a_configuration_is_in_one_answer() {
    let mut setup = Setup::new("esdb://admin:QQ?QQ@host", "esdb://admin:QQ@host:70000");
    setup.set("Settings__Streams__0__StreamName", "$ce-customer");
    setup.set("SourceEventStoreConnectionString", "esdb://admin:QQ@host");
    setup.set("Settings__Subscriptions__0__Kind", "all");
    setup.set("Settings__Subscriptions__1__Kind", "journal");
    setup.set("Settings__Subscriptions__1__JournalEntityType", "counter");
    setup.set("Settings__Subscriptions__1__JournalPath", "nowhere/a.db");
    setup.set("Settings__ParkDirectory", "file/parked");
    setup.set("Metrics__Port", "70000");
    setup.set("Serilog__WriteTo__0", "Seq");
    std::fs::write(setup.folder.path().join("file"), "").unwrap();
    for command in ["check-config", "run"] {
        let (code, text) = setup.execute(&[command]).await;
        assert_eq!(code, Some(1), "{text}");
        for part in [
            "`Settings:SourceEventStoreConnectionString`: connection string: expected no `@` after the first `?`",
            "`Settings:DestinationEventStoreConnectionString`: connection string: expected a port from 1 to 65535 after the host `host`, actual `70000`",
            "`Metrics:Port`: expected a number from 0 to 65535, actual `70000`",
            "`Settings:ParkDirectory`: expected a folder, or a path where one can be created, actual `file/parked`",
            "`Settings:Subscriptions:1:JournalPath`: expected a file in a folder that exists, actual `nowhere/a.db`",
            "`Serilog:WriteTo:0:Args:serverUrl`: expected the address of the Seq server, actual none",
            "warning: `Settings:Streams:0:StreamName`",
            "the nearest known key is `Settings:Subscriptions:0:StreamName`",
            "warning: `SourceEventStoreConnectionString`",
        ] {
            assert!(text.contains(part), "`{part}` in: {text}");
        }
        assert!(!text.contains("QQ"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_certificate_and_a_missing_folder_are_named() {
    let mut setup = Setup::new(
        "esdb://localhost?tlsCaFile=/nowhere/a.pem",
        "esdb://b?tlsCaFile=/nowhere/b.pem",
    );
    setup.group("$ce-order", "it");
    let (code, text) = setup.execute(&["check-config"]).await;
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "`Settings:SourceEventStoreConnectionString`: `tlsCaFile`: cannot use `/nowhere/a.pem`",
        "`Settings:DestinationEventStoreConnectionString`: `tlsCaFile`: cannot use `/nowhere/b.pem`",
    ] {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
    let (code, text) = setup.execute(&["check-config", "--directory", "/nowhere"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("`--directory`: expected an existing folder, actual `/nowhere`"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_program_was_built_without_is_known_and_a_profile_has_to_exist() {
    let mut setup = Setup::new(PLAIN, PLAIN);
    setup.group("$ce-order", "it").set("Kinesis__StreamName", "ditto");
    setup.set("AWS__Profile", "nobody").set("AWS__Region", "eu-west-1");
    setup.variables.insert("AWS_ACCESS_KEY_ID".into(), "id".into());
    setup.variables.insert("AWS_SECRET_ACCESS_KEY".into(), "secret".into());
    let expected = if cfg!(feature = "kinesis") {
        "`AWS:Profile`: expected a profile of `~/.aws/credentials`"
    } else {
        "`Kinesis:StreamName`: this program was built without Kinesis"
    };
    for command in ["check-config", "run"] {
        let (code, text) = setup.execute(&[command]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

fn tls_files(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let files = TlsFiles { certificate: path("cert.pem"), key: path("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_where_there_is_none_and_the_reverse_say_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let plain = server().await;
    let settings = ServerSettings { tls: Some(tls_files(folder.path())), ..Default::default() };
    let encrypted = server_with(settings).await;
    let with = |address: String, parameters: &str| format!("esdb://{address}?{parameters}");
    let (plain_at, encrypted_at) = (plain.address().to_string(), encrypted.address().to_string());
    for (source, part) in [
        (
            with(plain_at.clone(), "tls=true&tlsVerifyCert=false"),
            "the server does not speak TLS: write `tls=false` in the connection string",
        ),
        (with(encrypted_at.clone(), "tls=false"), "write `tls=true` in the connection string"),
        (
            with(encrypted_at.clone(), "tls=true&tlsCaFile=own.pem"),
            "the authority of the server's certificate is not trusted: name its file in `tlsCaFile`",
        ),
    ] {
        let mut setup = Setup::new(&source, &plain.connection_string());
        let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
        std::fs::write(setup.folder.path().join("own.pem"), other.cert.pem()).unwrap();
        setup.catch_up("stream", "order-1");
        let replicator = setup.start();
        replicator.wait_for_line(part).await;
        wait_for("the reason in the health", async || {
            replicator.get("/health/ready").await.1.contains(part)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_exist_is_told_once_at_warning() {
    let Pair { source: _source, destination: _destination, from, to: _to, mut setup } =
        pair().await;
    setup.catch_up("stream", "later-1");
    let mut replicator = setup.start();
    let line = "WRN] Stream later-1 does not exist at the source";
    replicator.wait_for_line(line).await;
    append(&from, "later-1", vec![event("now")]).await;
    replicator.wait_for_line("Replicating Happened #0 from later-1").await;
    replicator.stop().await;
    assert_eq!(replicator.output().matches(line).count(), 1, "{}", replicator.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_in_the_health_with_their_number_and_the_oldest() {
    let source = server().await;
    let small = ServerSettings { append_bytes_max: 1000, ..ServerSettings::default() };
    let destination = server_with(small).await;
    let from = client(&source.connection_string());
    let large = || es::NewEvent::binary("Large", Bytes::from(vec![7; 2000]));
    append(&from, "order-1", vec![event("a"), large(), event("b")]).await;
    for is_group in [false, true] {
        let mut setup = Setup::new(&source.connection_string(), &destination.connection_string());
        if is_group {
            setup.group("$ce-order", "it");
        } else {
            setup.catch_up("category", "order");
        }
        let mut replicator = setup.start();
        let count = if is_group { 3 } else { 2 };
        replicator.wait_for_line("abandoned and parked: event #1 of the stream is parked").await;
        let part = "events are parked, the oldest is #1 of `order-1` since ";
        wait_for("the parked events", async || {
            let (_, health) = replicator.get("/health").await;
            let (_, ready) = replicator.get("/health/ready").await;
            let health: serde_json::Value = serde_json::from_str(&health).unwrap();
            let parked = &health["subscriptions"][0]["parked"];
            parked["events"].as_u64().is_some_and(|parked| (2..=count).contains(&parked))
                && parked["oldest"]["stream"] == "order-1"
                && parked["oldest"]["reason"]
                    .as_str()
                    .is_some_and(|why| why.contains("larger than"))
                && ready.contains(part)
        })
        .await;
        assert!(replicator.is_ready().await);
        replicator.stop().await;

        let mut again = setup.start();
        again.wait_for_line("are parked, the oldest is #1 of order-1").await;
        again.stop().await;
    }
}
