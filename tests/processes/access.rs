//! HTTPS, tokens and client certificates, by the commands that an operator types.

use std::path::Path;
use std::process::Output;

use antiphon::app::client::{AccessArguments, Client};
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon_tests::antiphon_binary;
use tempfile::TempDir;
use tokio::process::Command;

use crate::command::{complaint, run};
use crate::support::{PATIENCE, add, get};

/// Runs a command of the binary in a folder.
async fn antiphon(folder: &Path, arguments: &str) -> Output {
    let command = Command::new(antiphon_binary())
        .args(arguments.split(' '))
        .current_dir(folder)
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PATIENCE, command).await.expect("it ends").expect("the binary runs")
}

async fn succeeds(folder: &Path, arguments: &str) -> String {
    let output = antiphon(folder, arguments).await;
    assert!(output.status.success(), "{arguments}: {}", complaint(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn client(folder: &Path, http: &str, own: Option<&str>, token: Option<&str>) -> Client {
    let file = |name: &str, ending: &str| folder.join(format!("{name}.{ending}"));
    let arguments = AccessArguments {
        ca_file: Some(file("certs/ca", "pem")),
        token_file: token.map(|name| file(name, "token")),
        cert_file: own.map(|name| file(&format!("certs/{name}"), "pem")),
        key_file: own.map(|name| file(&format!("certs/{name}"), "key")),
    };
    Client::new(http).with_access(arguments.read().expect("the files"))
}

#[tokio::test]
async fn three_commands_make_an_interface_that_strangers_cannot_use() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    succeeds(at, "cert --dir certs --client ops DC-A/dc-a-1@localhost").await;
    succeeds(at, "token --name shop --rights entities --file tokens.toml --token-file shop.token")
        .await;
    succeeds(at, "token --name ops --rights read --file tokens.toml --certificate ops").await;
    let path = |name: &str| at.join(name).display().to_string();
    let extra = format!(
        "[http]\ntokens_file = {:?}\nreload_interval = \"100ms\"\ntls = {{ cert_file = {:?}, key_file = {:?}, ca_file = {:?} }}\naudit = {{ file = {:?} }}\n",
        path("tokens.toml"),
        path("certs/dc-a-1.pem"),
        path("certs/dc-a-1.key"),
        path("certs/ca.pem"),
        path("audit.log")
    );
    let mut cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: at.to_path_buf(),
        replicas: vec!["DC-A".to_owned()],
        nodes_per_replica: 1,
        journals: LocalJournals::default(),
        tls: false,
        extra,
        binary: antiphon_binary(),
        start_timeout: PATIENCE,
    })
    .await
    .expect("a node");
    let http = cluster.nodes()[0].http.clone();

    let mut shop = client(at, &http, None, Some("shop"));
    assert_eq!(add(&mut shop, "c", "DC-A", 2).await, Some(2));
    let (mut ops, mut stranger) =
        (client(at, &http, Some("ops"), None), client(at, &http, None, None));
    assert_eq!(get(&mut ops, "c", "DC-A").await, None, "`read` reads no entity");
    assert_eq!(add(&mut stranger, "c", "DC-A", 40).await, None);
    assert_eq!(get(&mut shop, "c", "DC-A").await, Some(2));

    let status = format!("status --node {http} --ca-file certs/ca.pem");
    let proof = format!("{status} --cert-file certs/ops.pem --key-file certs/ops.key");
    assert!(succeeds(at, &proof).await.contains("coordinator of DC-A"));
    let seen = succeeds(at, &status).await;
    assert!(seen.contains("ready: true") && !seen.contains("coordinator"), "{seen}");
    let plain = antiphon(at, &format!("status --node {http}")).await;
    assert!(complaint(&plain).contains("HTTPS only"), "{}", complaint(&plain));

    let replaced =
        "token --name shop --rights entities --file tokens.toml --token-file new.token --replace";
    succeeds(at, replaced).await;
    let mut new = client(at, &http, None, Some("new"));
    let noticed = async { while get(&mut new, "c", "DC-A").await != Some(2) {} };
    tokio::time::timeout(PATIENCE, noticed).await.expect("the new token counts");
    assert_eq!(get(&mut shop, "c", "DC-A").await, None, "the old token is void");

    cluster.signal("dc-a-1", "TERM").await.expect("a node");
    assert!(cluster.ended("dc-a-1", PATIENCE).await.expect("it ends"));
    let audit = std::fs::read_to_string(at.join("audit.log")).expect("an audit log");
    let token = std::fs::read_to_string(at.join("shop.token")).expect("a token");
    let log = std::fs::read_to_string(cluster.log("dc-a-1")).expect("a log");
    for (text, name) in [(&audit, "audit log"), (&log, "log")] {
        assert!(!text.contains(token.trim()), "the {name} has the token");
    }
    let has =
        |parts: [&str; 3]| audit.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(["\"shop\"", "POST", "200"]) && has(["\"ops\"", "/cluster", "200"]), "{audit}");
    assert!(has(["\"ops\"", "/entities/counter/c", "403"]), "{audit}");
    assert!(has(["\"anonymous\"", "POST", "401"]), "{audit}");
}

#[tokio::test]
async fn an_interface_that_others_reach_is_refused_without_certificates_and_tokens() {
    let config = |rest: &str| {
        format!(
            "journal = 'a.db'\nbind = '127.0.0.1:0'\nhttp_bind = '0.0.0.0:0'\n{rest}\n[node]\nname = 'n'\nplace = 'DC-A'\n"
        )
    };
    let refused = run(&["check"], &config(""), &[]).await;
    assert!(!refused.status.success());
    let why = complaint(&refused);
    for part in ["`http.tls` and `http.tokens_file`", "antiphon cert", "`http.insecure = true`"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let insecure = run(&["check"], &config("http.insecure = true"), &[]).await;
    assert!(insecure.status.success(), "{}", complaint(&insecure));
    let missing = config(
        "http.tls = { cert_file = 'a.pem', key_file = 'a.key' }\nhttp.tokens_file = 't.toml'",
    );
    let why = complaint(&run(&["check"], &missing, &[]).await);
    assert!(why.contains("`http.tls.cert_file`") && why.contains("a.pem"), "{why}");
}
