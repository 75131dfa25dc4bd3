//! The log lines of a replicator process at servers of Seq (with TLS) and Datadog.

use std::io;
use std::sync::Arc;

use antiphon_base::task;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto, pki_types::PrivatePkcs8KeyDer};

use crate::support::{Pair, append, event, pair, wait_for};

/// A request: path, key of the API, body.
type Got = (String, String, String);

struct Receiver {
    address: String,
    got: watch::Sender<Vec<Got>>,
}

impl Receiver {
    async fn start(tls: Option<TlsAcceptor>, key: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let got = watch::Sender::new(Vec::new());
        let log = got.clone();
        task::spawn("receiver", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, log) = (tls.clone(), log.clone());
                task::spawn("connection", async move {
                    match tls {
                        None => serve(stream, key, log).await,
                        Some(tls) => serve(tls.accept(stream).await.unwrap(), key, log).await,
                    }
                });
            }
        });
        Self { address, got }
    }

    /// The lines of all requests.
    fn lines(&self) -> Vec<Value> {
        let lines = |(path, _, body): &Got| -> Vec<Value> {
            match path.as_str() {
                "/ingest/clef" => {
                    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
                }
                _ => serde_json::from_str(body).unwrap(),
            }
        };
        self.got.borrow().iter().flat_map(lines).collect()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    key: &'static str,
    log: watch::Sender<Vec<Got>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let log = log.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let key = head.headers[key].to_str().unwrap().to_owned();
            let body = String::from_utf8(body.to_vec()).unwrap();
            log.send_modify(|log| log.push((head.uri.path().to_owned(), key, body)));
            Ok::<_, io::Error>(Response::new(Full::new(Bytes::new())))
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seq_over_tls_and_datadog_get_the_lines_up_to_the_reason_of_the_end() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let seq = Receiver::start(Some(TlsAcceptor::from(Arc::new(config))), "x-seq-apikey").await;
    let datadog = Receiver::start(None, "dd-api-key").await;
    let Pair { mut source, destination: _destination, from, to: _to, mut setup } = pair().await;
    append(&from, "order-1", vec![event("a")]).await;
    let file = r#"{ "Serilog": { "Enrich": [ "WithMachineName" ], "Properties": { "ApplicationName": "Ditto" }, "WriteTo": [
        { "Name": "Seq", "Args": { "serverUrl": "https://SEQ", "apiKey": "key-of-seq", "period": "00:00:00.05" } },
        { "Name": "DatadogLogs", "Args": { "apiKey": "key-of-datadog", "service": "ditto", "tags": [ "env:test" ],
          "batchPeriod": "00:00:00.05", "configuration": { "url": "http://DATADOG" } } } ] } }"#;
    let file = file.replace("SEQ", &seq.address).replace("DATADOG", &datadog.address);
    std::fs::write(setup.folder.path().join("appsettings.json"), file).unwrap();
    let authority = setup.folder.path().join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    setup.variables.insert("SSL_CERT_FILE".into(), authority.display().to_string());
    setup.group("$ce-order", "it");
    let mut replicator = setup.start();
    replicator.wait_for_line("Replicating Happened #0 from order-1").await;

    let has = |lines: &[Value], name: &str, text: &str| {
        lines.iter().any(|line| line[name].as_str().is_some_and(|one| one.starts_with(text)))
    };
    let line = "Replicating Happened #0 from order-1 (Original Event: #0) completed in ";
    wait_for("the lines while it runs", async || {
        has(&seq.lines(), "@m", line) && has(&datadog.lines(), "message", line)
    })
    .await;
    // the group is gone: the program ends, and says so everywhere
    let deleted = from.delete_group("$ce-order", "it").await;
    deleted.unwrap();
    setup.set("Settings__Subscriptions__0__CreateGroup", "false");
    source.restart().await.unwrap();
    replicator.terminate().await;
    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    let end = "the replicator ends: subscription `$ce-order::it`";
    assert!(has(&seq.lines(), "@m", end), "{:?}", seq.lines());
    assert!(has(&datadog.lines(), "message", end), "{:?}", datadog.lines());

    let one =
        seq.lines().into_iter().find(|one| has(std::slice::from_ref(one), "@m", line)).unwrap();
    assert_eq!((&one["EventNumber"], &one["ApplicationName"]), (&0.into(), &"Ditto".into()));
    assert!(one["MachineName"].is_string() && one["@mt"].as_str().unwrap().contains("{EventType}"));
    let lines = datadog.lines();
    assert_eq!((&lines[0]["service"], &lines[0]["ddtags"]), (&"ditto".into(), &"env:test".into()));
    let keys = |receiver: &Receiver| {
        receiver.got.borrow().iter().map(|got| got.1.clone()).collect::<Vec<_>>()
    };
    assert!(keys(&seq).iter().all(|key| key == "key-of-seq"));
    assert!(keys(&datadog).iter().all(|key| key == "key-of-datadog"));
    for text in [replicator.output(), text, format!("{:?} {lines:?}", seq.lines())] {
        assert!(!text.contains("key-of-"), "{text}");
    }
}
