//! A server with files of its own, and clients of it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use axum::Router;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::{get, post};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::super::access::{Caller, TokenHash};
use super::super::answers::with_fallbacks;
use super::super::audit::AuditSettings;
use super::super::check::ShowsDetails;
use super::super::connections::accept;
use super::super::guard::Guard;
use super::super::reply::MayHaveActed;
use super::super::settings::HttpSettings;
use super::super::tls::{HttpTls, HttpsClient};
use crate::Result;
use crate::metrics::Metrics;

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) const READER: &str = "token-of-the-reader";
pub(super) const WRITER: &str = "token-of-the-writer";

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The files of a server and of its clients.
pub(super) struct Files {
    folder: TempDir,
}

impl Files {
    /// The files of a server whose certificate this authority has signed.
    pub(super) fn new(by: &Authority) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.put("ca.pem", &by.pem());
        files.certificate(by, "server", "server", 2120);
        files.put(
            "tokens.toml",
            &format!(
                "{}{}ops = {{ rights = [\"read\"], certificate = \"ops\" }}\n",
                line("reader", "read", READER),
                line("writer", "entities", WRITER)
            ),
        );
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in its place as a whole.
    pub(super) fn put(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Writes a certificate and its key, valid until that year.
    pub(super) fn certificate(&self, by: &Authority, file: &str, name: &str, until: i32) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if name == "server" {
            params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        }
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.put(&format!("{file}.pem"), &params.signed_by(&key, by).unwrap().pem());
        self.put(&format!("{file}.key"), &key.serialize_pem());
    }

    pub(super) fn settings(&self) -> HttpSettings {
        HttpSettings {
            tls: Some(HttpTls {
                cert_file: self.path("server.pem"),
                key_file: self.path("server.key"),
                ca_file: Some(self.path("ca.pem")),
            }),
            tokens_file: Some(self.path("tokens.toml")),
            audit: Some(AuditSettings { file: self.path("audit.log"), ..AuditSettings::default() }),
            ..HttpSettings::default()
        }
    }

    /// A client that believes the authorities in `ca.pem`, with the certificate of that file.
    pub(super) fn client(&self, own: Option<&str>) -> HttpsClient {
        let own =
            own.map(|own| (self.path(&format!("{own}.pem")), self.path(&format!("{own}.key"))));
        let own = own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        HttpsClient::read(&self.path("ca.pem"), own).unwrap()
    }
}

/// The line of a client in a tokens file.
pub(super) fn line(name: &str, right: &str, token: &str) -> String {
    format!("{name} = {{ rights = [{right:?}], sha256 = \"{}\" }}\n", TokenHash::of(token))
}

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) guard: Arc<Guard>,
    _stop: watch::Sender<bool>,
}

impl Server {
    pub(super) async fn start(settings: HttpSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guard = Guard::open(settings, address, false).unwrap();
        let refuses = async || (StatusCode::CONFLICT, Extension(MayHaveActed));
        let health = async |Extension(ShowsDetails(details)): Extension<ShowsDetails>| {
            if details { "\"all\"" } else { "\"little\"" }
        };
        let routes = Router::new()
            .route("/health/ready", get(health))
            .route("/cluster", get(async || "\"members\""))
            .route("/added", get(async || "\"added\""))
            .route("/entities/{type}/{id}", get(async || "1").post(async |body: String| body))
            .route(
                "/entities/{type}/{id}/caller",
                get(async |caller: Caller| format!("{caller:?}")),
            )
            .route("/entities/{type}/{id}/refuses", post(refuses))
            .route("/entities/{type}/{id}/wrong", post(async || StatusCode::CONFLICT));
        let routes = with_fallbacks(routes, None, &guard);
        let (stop, stopped) = watch::channel(false);
        task::spawn("a server", accept(listener, routes, guard.clone(), stopped));
        Self { address, guard, _stop: stop }
    }

    /// Asks over a new connection with TLS.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn ask(
        &self,
        client: &HttpsClient,
        request: &str,
        token: Option<&str>,
    ) -> Result<Answer> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream = client.connect("127.0.0.1", stream).await?;
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        exchange(&mut stream, request, &token.unwrap_or_default()).await
    }

    /// Asks over plain HTTP.
    pub(super) async fn ask_plain(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        exchange(&mut stream, request, "").await.unwrap()
    }

    /// Waits until a metric has that value: a client may see its refusal before it is counted.
    pub(super) async fn counts(&self, name: &str, expected: f64) {
        let counted = async {
            while self.metric(name) < expected {
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), counted).await;
        assert_eq!(self.metric(name), expected, "{name}");
    }

    /// The value of a metric, by its name with its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let metrics = Metrics::new();
        self.guard.measure(&metrics);
        let text = metrics.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

/// An answer: its status, its head in small letters, and its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

async fn exchange<S>(stream: &mut S, request: &str, headers: &str) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!(
        "{request} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n"
    );
    let broken = |error: std::io::Error| crate::Error::unavailable(error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(broken)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(crate::Error::unavailable("no answer"));
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}
