//! Certificates of the server and of its clients.

use super::support::{Files, Server, authority};

const TLS: &str = "antiphon_http_refused_total{reason=\"tls\"}";

#[tokio::test]
async fn a_client_certificate_has_the_rights_of_its_name() {
    let ours = authority();
    let files = Files::new(&ours);
    let server = Server::start(files.settings()).await;
    for (name, expected) in [("ops", [200, 403]), ("nobody", [403, 403])] {
        files.certificate(&ours, name, name, 2120);
        let client = files.client(Some(name));
        for (request, expected) in
            ["GET /cluster", "GET /entities/counter/x"].into_iter().zip(expected)
        {
            let answer = server.ask(&client, request, None).await.unwrap();
            assert_eq!(answer.status, expected, "{name}: {answer:?}");
        }
        let answer = server.ask(&client, "GET /cluster", Some("wrong")).await.unwrap();
        assert_eq!(answer.status, 401, "a wrong token is no certificate");
    }
    assert_eq!(server.metric(TLS), 0.0);
}

#[tokio::test]
async fn certificates_that_are_not_believed_get_no_answer_and_are_counted() {
    let ours = authority();
    let files = Files::new(&ours);
    let server = Server::start(files.settings()).await;
    files.certificate(&authority(), "strange", "ops", 2120);
    files.certificate(&ours, "expired", "ops", 2021);
    for (count, name) in [(1.0, "strange"), (2.0, "expired")] {
        let error = server.ask(&files.client(Some(name)), "GET /cluster", None).await;
        error.expect_err(name);
        server.counts(TLS, count).await;
    }
    files.put("ca.pem", &authority().pem());
    let error = server.ask(&files.client(None), "GET /cluster", None).await.unwrap_err();
    assert!(error.to_string().contains("TLS with 127.0.0.1"), "{error}");
    server.counts(TLS, 3.0).await;
}

#[tokio::test]
async fn plain_http_to_the_port_of_https_is_told_so_and_counted() {
    let files = Files::new(&authority());
    let server = Server::start(files.settings()).await;
    for request in ["GET /cluster", "POST /entities/counter/x"] {
        let answer = server.ask_plain(request).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains("HTTPS only"), "{answer:?}");
    }
    server.counts("antiphon_http_refused_total{reason=\"plain\"}", 2.0).await;
}

#[tokio::test]
async fn a_server_certificate_that_cannot_be_used_refuses_the_start() {
    let ours = authority();
    let files = Files::new(&ours);
    files.settings().check_files().unwrap();
    files.certificate(&ours, "server", "server", 2021);
    let error = files.settings().check_files().unwrap_err().to_string();
    assert!(error.contains("`http.tls.cert_file`") && error.contains("valid until"), "{error}");
    let key = std::fs::read_to_string(files.path("server.key")).unwrap();
    files.certificate(&ours, "server", "server", 2120);
    files.put("server.key", &key);
    let error = files.settings().check_files().unwrap_err().to_string();
    assert!(error.contains("`http.tls.key_file`"), "{error}");
    let mut settings = files.settings();
    settings.tls = settings.tls.map(|tls| super::super::HttpTls { ca_file: None, ..tls });
    files.certificate(&ours, "server", "server", 2120);
    let error = settings.check_files().unwrap_err().to_string();
    assert!(error.contains("`http.tls.ca_file`"), "the tokens file has a certificate: {error}");
}
