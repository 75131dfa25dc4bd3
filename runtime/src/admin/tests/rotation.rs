//! Tokens and certificates that change while the server runs.

use std::time::Duration;

use super::support::{Files, READER, Server, authority, line};
use crate::certificates::now;

const NEW: &str = "the-new-token-of-the-reader";

#[tokio::test]
async fn a_new_tokens_file_counts_from_the_next_request_on() {
    let files = Files::new(&authority());
    let settings = files.settings();
    let interval = Duration::from_millis(100);
    let server =
        Server::start(super::super::HttpSettings { reload_interval: interval, ..settings }).await;
    let client = files.client(None);
    let status =
        async |token| server.ask(&client, "GET /cluster", Some(token)).await.unwrap().status;
    assert_eq!([status(READER).await, status(NEW).await], [200, 401]);

    let both = line("reader", "read", READER) + &line("reader-2", "read", NEW);
    files.put("tokens.toml", &both);
    // the task of the server notices it
    let noticed = async { while status(NEW).await != 200 {} };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.expect("it is read again");
    assert_eq!(status(READER).await, 200);

    files.put("tokens.toml", &line("reader-2", "read", NEW));
    server.guard.refresh(now());
    assert_eq!([status(READER).await, status(NEW).await], [401, 200]);
}

#[tokio::test]
async fn a_damaged_tokens_file_leaves_the_old_tokens_in_use_and_is_told() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    let client = files.client(None);
    let status =
        async |token| server.ask(&client, "GET /cluster", Some(token)).await.unwrap().status;
    let failures = "antiphon_http_reload_failures_total{file=\"tokens\"}";
    for (count, damaged) in [(1.0, "reader = {"), (2.0, &*line("reader", "everything", NEW))] {
        files.put("tokens.toml", damaged);
        server.guard.refresh(now());
        assert_eq!([status(READER).await, status(NEW).await], [200, 401], "{damaged}");
        assert_eq!(server.metric(failures), count);
        let warnings = server.guard.warnings(now()).join("\n");
        assert!(warnings.contains("tokens.toml") && warnings.contains("line 1"), "{warnings}");
    }
    std::fs::remove_file(files.path("tokens.toml")).unwrap();
    server.guard.refresh(now());
    assert_eq!(status(READER).await, 200);

    files.put("tokens.toml", &line("reader", "read", NEW));
    server.guard.refresh(now());
    assert_eq!([status(READER).await, status(NEW).await], [401, 200]);
    assert!(server.guard.warnings(now()).is_empty(), "{:?}", server.guard.warnings(now()));
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_half_a_rotation_for_none() {
    let (old, new) = (authority(), authority());
    let files = Files::new(&old);
    let server = Server::start(files.settings()).await;
    let believes_old = files.client(None);
    files.put("ca.pem", &new.pem());
    let believes_new = files.client(None);
    files.put("ca.pem", &(old.pem() + &new.pem()));
    let answers = async |client| server.ask(client, "GET /health/ready", None).await.is_ok();
    assert!(answers(&believes_old).await && !answers(&believes_new).await);

    let old_key = std::fs::read_to_string(files.path("server.key")).unwrap();
    files.certificate(&new, "server", "server", 2110);
    let new_key = std::fs::read_to_string(files.path("server.key")).unwrap();
    files.put("server.key", &old_key);
    server.guard.refresh(now());
    assert!(answers(&believes_old).await, "the key of the new certificate is not there yet");
    assert_eq!(server.metric("antiphon_http_reload_failures_total{file=\"tls\"}"), 1.0);
    assert!(server.guard.warnings(now()).join("\n").contains("`http.tls.key_file`"));

    files.put("server.key", &new_key);
    server.guard.refresh(now());
    assert!(!answers(&believes_old).await && answers(&believes_new).await);
    let year_2110 = 4_417_977_600.0;
    assert_eq!(server.metric("antiphon_http_certificate_expires_seconds"), year_2110);
    // clients of the old authority are believed while its certificate is in the file
    files.certificate(&old, "ops", "ops", 2120);
    let ops = files.client(Some("ops"));
    assert_eq!(server.ask(&ops, "GET /cluster", None).await.unwrap().status, 200);
    assert!(server.guard.warnings(now()).is_empty());
}
