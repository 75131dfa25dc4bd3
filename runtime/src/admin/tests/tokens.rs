//! Tokens over HTTPS, the answers to those who lack one, and the audit log.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::access::EntityAccess;
use super::super::server::AdminServer;
use super::super::settings::HttpSettings;
use super::support::{Files, READER, Server, WRITER, authority};

const WRONG: &str = "a-token-that-nobody-has";

#[tokio::test]
async fn each_token_opens_its_paths_and_no_others() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    let client = files.client(None);
    let (none, entity) = (None, "GET /entities/counter/x");
    for (request, token, expected) in [
        ("GET /health/ready", none, 200),
        ("GET /health/ready", Some(WRONG), 200),
        ("GET /cluster", none, 401),
        ("GET /cluster", Some(WRONG), 401),
        ("GET /cluster", Some(READER), 200),
        ("GET /cluster", Some(WRITER), 403),
        (entity, none, 401),
        (entity, Some(READER), 403),
        (entity, Some(WRITER), 200),
        ("POST /entities/counter/x", Some(WRITER), 200),
        ("POST /entities/counter/x", Some(READER), 403),
        ("GET /added", Some(READER), 403),
        ("GET /nothing", none, 401),
        ("GET /node/leave", Some(READER), 403),
    ] {
        let answer = server.ask(&client, request, token).await.unwrap();
        assert_eq!(answer.status, expected, "{request} {token:?}: {answer:?}");
        let is_refused = expected == 401 || expected == 403;
        assert_eq!(answer.head.contains("www-authenticate: bearer"), is_refused, "{answer:?}");
        if is_refused {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["error"].is_string() && body["expected"].is_string(), "{body}");
            assert_eq!(body["without_effect"], true);
        }
        for token in [WRONG, READER, WRITER] {
            assert!(!answer.head.contains(token) && !answer.body.contains(token), "{answer:?}");
        }
    }
    assert_eq!(server.metric("antiphon_http_refused_total{reason=\"no_proof\"}"), 3.0);
    assert_eq!(server.metric("antiphon_http_refused_total{reason=\"wrong_token\"}"), 1.0);
    assert_eq!(server.metric("antiphon_http_refused_total{reason=\"no_right\"}"), 5.0);
}

#[tokio::test]
async fn a_route_sees_its_caller_by_token_by_certificate_or_as_nobody() {
    let authority = authority();
    let files = Files::new(&authority);
    files.certificate(&authority, "ops", "ops", 2120);
    let settings = HttpSettings { entities: Some(EntityAccess::Open), ..files.settings() };
    let server = Server::start(settings).await;
    let request = "GET /entities/counter/x/caller";
    for (own, token, expected) in [
        (None, None, "Anonymous"),
        (None, Some(WRITER), "Token { name: \"writer\", rights: Rights([Entities]) }"),
        (Some("ops"), None, "Certificate { name: \"ops\", rights: Rights([Read]) }"),
        (Some("ops"), Some(READER), "Token { name: \"reader\", rights: Rights([Read]) }"),
    ] {
        let answer = server.ask(&files.client(own), request, token).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, expected));
    }
}

#[tokio::test]
async fn the_challenge_names_the_fault() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    let client = files.client(None);
    for (token, part) in
        [(Some(WRONG), "error=\"invalid_token\""), (Some(WRITER), "scope=\"read\"")]
    {
        let answer = server.ask(&client, "GET /cluster", token).await.unwrap();
        assert!(answer.head.contains(part), "{answer:?}");
    }
    let two = format!("{READER}\r\nauthorization: Bearer {READER}");
    for strange in [two.as_str(), "", " ", &"x".repeat(5000)] {
        let answer = server.ask(&client, "GET /cluster", Some(strange)).await.unwrap();
        assert_eq!(answer.status, 401, "{answer:?}");
    }
}

#[tokio::test]
async fn details_of_the_health_are_for_those_who_may_read() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    let client = files.client(None);
    for (token, expected) in [(None, "little"), (Some(WRITER), "little"), (Some(READER), "all")] {
        let answer = server.ask(&client, "GET /health/ready", token).await.unwrap();
        assert!(answer.status == 200 && answer.body.contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn entities_can_be_off_or_open() {
    let files = Files::new(&authority());
    let client = files.client(None);
    for (entities, token, expected) in [
        (EntityAccess::Off, Some(WRITER), 404),
        (EntityAccess::Off, None, 404),
        (EntityAccess::Open, None, 200),
        (EntityAccess::Open, Some(WRONG), 401),
    ] {
        let settings = HttpSettings { entities: Some(entities), ..files.settings() };
        let server = Server::start(settings).await;
        let answer = server.ask(&client, "GET /entities/counter/x", token).await.unwrap();
        assert_eq!(answer.status, expected, "{entities:?}: {answer:?}");
        assert_eq!(answer.body.contains("`http.entities`"), expected == 404, "{answer:?}");
        let other = server.ask(&client, "GET /cluster", None).await.unwrap();
        assert_eq!(other.status, 401, "the other paths need their token");
    }
}

#[tokio::test]
async fn a_node_without_tokens_ignores_them() {
    let server = Server::start(HttpSettings::default()).await;
    for request in ["GET /cluster", "GET /entities/counter/x", "GET /added"] {
        assert_eq!(server.ask_plain(request).await.status, 200);
    }
    let off = HttpSettings { entities: Some(EntityAccess::Off), ..HttpSettings::default() };
    let server = Server::start(off).await;
    assert_eq!(server.ask_plain("GET /entities/counter/x").await.status, 404);
    assert_eq!(server.metric("antiphon_http_refused_total{reason=\"entities_off\"}"), 1.0);
}

#[tokio::test]
async fn the_audit_log_has_who_what_and_the_outcome_and_no_secret() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    let client = files.client(None);
    let ask = async |request, token| server.ask(&client, request, token).await.unwrap().status;
    ask("POST /entities/counter/x?key=query-secret", Some(WRITER)).await;
    ask("GET /cluster", Some(WRITER)).await;
    ask("GET /cluster", Some(WRONG)).await;
    ask("GET /cluster", None).await;
    ask("GET /health/ready", None).await;
    server.guard.flush(Duration::from_secs(10)).await;
    let text = fs::read_to_string(files.path("audit.log")).unwrap();
    for secret in ["secret", "key=", WRITER, WRONG] {
        assert!(!text.contains(secret), "{text}");
    }
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown = lines.iter().map(|line| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let status = line["status"].as_u64().unwrap_or_default();
        format!("{} {} {} {} {status}", text("who"), text("shows"), text("method"), text("path"))
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            "writer a token POST /entities/counter/x 200",
            "writer a token GET /cluster 403",
            "anonymous a wrong token GET /cluster 401",
            "anonymous nothing GET /cluster 401",
        ]
    );
    for line in &lines {
        assert!(line["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")), "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    assert_eq!(server.metric("antiphon_http_audit_failing"), 0.0);
}

#[tokio::test]
async fn requests_are_refused_by_an_audit_log_that_must_not_lose_lines() {
    let files = Files::new(&authority());
    let mut settings = files.settings();
    settings.tls = None;
    settings.entities = Some(EntityAccess::Open);
    files.put("tokens.toml", &super::support::line("reader", "read", READER));
    let folder = files.path("log");
    fs::create_dir(&folder).unwrap();
    settings.audit = settings.audit.map(|audit| super::super::AuditSettings {
        file: folder.join("audit.log"),
        on_fault: super::super::AuditFault::Refuse,
        ..audit
    });
    let server = Server::start(settings).await;
    assert_eq!(server.ask_plain("GET /cluster").await.status, 401);
    fs::rename(&folder, files.path("gone")).unwrap();
    assert_eq!(server.ask_plain("GET /cluster").await.status, 401);
    server.guard.flush(Duration::from_secs(10)).await;
    let answer = server.ask_plain("GET /cluster").await;
    assert_eq!(answer.status, 401, "a stranger learns nothing: {answer:?}");
    let answer = server.ask_plain("POST /entities/counter/x").await;
    assert!(answer.status == 503 && answer.body.contains("audit log"), "{answer:?}");
    assert!(!answer.body.contains("os error"), "no text of the system: {answer:?}");
    assert!(answer.body.contains("\"without_effect\": true"), "{answer:?}");
    assert_eq!(server.ask_plain("GET /health/ready").await.status, 200);
    assert_eq!(server.metric("antiphon_http_audit_failing"), 1.0);
    assert_eq!(server.metric("antiphon_http_refused_total{reason=\"audit\"}"), 1.0);
    let warnings = server.guard.warnings(Duration::ZERO).join("\n");
    assert!(warnings.contains("requests are refused"), "{warnings}");
}

#[tokio::test]
async fn strangers_have_few_lines_whatever_the_answer() {
    for (entities, request, status) in [
        (EntityAccess::Token, "GET /cluster", 401),
        (EntityAccess::Off, "GET /entities/counter/x", 404),
        (EntityAccess::Open, "PUT /entities/counter/x", 405),
        (EntityAccess::Open, "GET http://evil.example/entities/counter/x", 421),
    ] {
        let files = Files::new(&authority());
        let settings = HttpSettings { entities: Some(entities), tls: None, ..files.settings() };
        files.put("tokens.toml", &super::support::line("reader", "read", READER));
        let server = Server::start(settings).await;
        for _ in 0..60 {
            assert_eq!(server.ask_plain(request).await.status, status, "{request}");
        }
        server.guard.flush(Duration::from_secs(10)).await;
        let text = fs::read_to_string(files.path("audit.log")).unwrap();
        let written = u32::try_from(text.lines().count()).unwrap();
        let left_out = server.metric("antiphon_http_audit_missing_total{reason=\"strangers\"}");
        assert_eq!(f64::from(written) + left_out, 60.0, "{request}");
        assert!(left_out > 0.0, "{request}: {written} lines");
    }
}

#[tokio::test]
async fn every_request_to_open_entities_that_may_have_an_effect_has_its_line() {
    let files = Files::new(&authority());
    let entities = Some(EntityAccess::Open);
    let settings = HttpSettings { entities, tls: None, ..files.settings() };
    files.put("tokens.toml", &super::support::line("reader", "read", READER));
    let server = Server::start(settings).await;
    for _ in 0..60 {
        assert_eq!(server.ask_plain("POST /entities/counter/x").await.status, 200);
    }
    server.guard.flush(Duration::from_secs(10)).await;
    assert_eq!(fs::read_to_string(files.path("audit.log")).unwrap().lines().count(), 60);
}

#[tokio::test]
async fn a_node_that_others_reach_does_not_start_without_protection() {
    let bind = "0.0.0.0:0".parse().unwrap();
    let Err(error) = AdminServer::bind(bind, HttpSettings::default(), false) else {
        panic!("it starts")
    };
    let error = error.to_string();
    assert!(error.contains("`http.tls` and `http.tokens_file`"), "{error}");
    assert!(
        error.contains("antiphon token") && error.contains("`http.insecure = true`"),
        "{error}"
    );
    let insecure = HttpSettings { insecure: true, ..HttpSettings::default() };
    let listener = AdminServer::bind(bind, insecure, false).unwrap();
    assert_ne!(listener.local_address().port(), 0);
}

#[tokio::test]
async fn a_node_that_starts_tells_strangers_no_reason() {
    let files = Files::new(&authority());
    let settings = HttpSettings { tls: None, ..files.settings() };
    files.put("tokens.toml", &super::support::line("reader", "read", READER));
    let listener = AdminServer::bind("127.0.0.1:0".parse().unwrap(), settings, false).unwrap();
    listener.waits("the journal at db.internal does not answer");
    for (token, shows) in [("", false), (READER, true)] {
        let mut stream = TcpStream::connect(listener.local_address()).await.unwrap();
        let request = format!(
            "GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        assert_eq!(text.contains("db.internal"), shows, "{text}");
    }
}

#[tokio::test]
async fn a_node_that_starts_tells_clients_of_an_application_to_wait() {
    let files = Files::new(&authority());
    let settings = HttpSettings { tls: None, ..files.settings() };
    files.put("tokens.toml", &super::support::line("writer", "entities", WRITER));
    for (has_application, expected) in [(true, "503"), (false, "403")] {
        let at = "127.0.0.1:0".parse().unwrap();
        let listener = AdminServer::bind(at, settings.clone(), has_application).unwrap();
        let mut stream = TcpStream::connect(listener.local_address()).await.unwrap();
        let request = format!(
            "POST /checkout/c-1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {WRITER}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {expected}")), "{text}");
        assert!(text.contains("\"without_effect\": true"), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_of_an_entity_keeps_its_line_and_one_of_the_node_is_limited() {
    let files = Files::new(&authority());
    let entities = Some(EntityAccess::Open);
    files.put("tokens.toml", &super::support::line("writer", "read", WRITER));
    let settings = HttpSettings { tls: None, entities, ..files.settings() };
    let server = Server::start(settings).await;
    for (path, least, most) in [("refuses", 60, 60), ("wrong", 60, 119)] {
        for _ in 0..60 {
            let request = format!("POST /entities/counter/x/{path}");
            assert_eq!(server.ask_plain(&request).await.status, 409);
        }
        server.guard.flush(Duration::from_secs(10)).await;
        let lines = fs::read_to_string(files.path("audit.log")).unwrap().lines().count();
        assert!((least..=most).contains(&lines), "{path}: {lines}");
    }
}
