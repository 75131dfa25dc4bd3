//! The program's HTTP client: HTTP/1.1, with or without TLS, with limits of time, of connections
//! and of bytes.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::{Error, Result};

/// The reason for a missing answer.
#[derive(Debug)]
pub enum HttpFailure {
    /// No connection to the address.
    Unreachable(Box<dyn StdError + Send + Sync>),
    /// No answer in time.
    Late,
    /// The answer has more bytes than the limit.
    TooLarge,
    /// The request or its answer broke off.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// A client. Keeps its connections.
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    bytes_max: usize,
}

impl HttpClient {
    /// A client without TLS, whose answers take at most `timeout` and have at most `bytes_max`.
    pub fn new(timeout: Duration, bytes_max: usize, connections_max: usize) -> Self {
        let nobody = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder_with_provider(provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(nobody)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self::of(timeout, bytes_max, connections_max, |plain| {
            builder.enable_http1().wrap_connector(plain)
        })
    }

    /// A client that trusts the authorities of the machine; `key` is the setting that needs it.
    ///
    /// # Errors
    /// `Rejected` when the machine has no certificates of authorities.
    pub fn with_tls(
        key: &str,
        timeout: Duration,
        bytes_max: usize,
        connections_max: usize,
    ) -> Result<Self> {
        let trusted = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider());
        let builder = trusted.map_err(|error| {
            Error::rejected(format!(
                "`{key}`: the machine has no certificates of authorities, which `https` needs: install them, or name a file in the variable `SSL_CERT_FILE`: {error}"
            ))
        })?;
        Ok(Self::of(timeout, bytes_max, connections_max, |plain| {
            builder.https_or_http().enable_http1().wrap_connector(plain)
        }))
    }

    fn of(
        timeout: Duration,
        bytes_max: usize,
        connections_max: usize,
        wrap: impl FnOnce(HttpConnector) -> HttpsConnector<HttpConnector>,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(timeout));
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_max_idle_per_host(connections_max).build(wrap(connector));
        Self { client, timeout, bytes_max }
    }

    /// Sends a request; returns the status code and the body. A cancelled call may have sent the
    /// request.
    ///
    /// # Errors
    /// The reason for a missing answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpFailure> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                let is_connect = error.is_connect();
                let error = Box::new(error);
                if is_connect {
                    HttpFailure::Unreachable(error)
                } else {
                    HttpFailure::Broken(error)
                }
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), self.bytes_max).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => HttpFailure::TooLarge,
                false => HttpFailure::Broken(error),
            })?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or(Err(HttpFailure::Late))
    }
}

fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

type Answer = (StatusCode, Bytes);

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sends a GET to a replicator; returns the status code and the body.
///
/// # Errors
/// `Rejected` for a wrong address; `Unavailable` when there is no answer.
pub async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let url = format!("http://{address}{path}");
    let request = Request::get(&url).body(Full::default()).map_err(|error| {
        Error::rejected(format!("`--address`: expected `host:port`, actual `{address}`: {error}"))
    })?;
    if crate::config::has_wrong_port(request.uri()) {
        return Err(Error::rejected(format!(
            "`--address`: expected `host:port` with a port from 1 to 65535, actual `{address}`"
        )));
    }
    let answer = HttpClient::new(TIMEOUT, ANSWER_BYTES_MAX, 1).send(request).await;
    let (status, body) = answer.map_err(|failure| {
        let why = match failure {
            HttpFailure::Unreachable(error) | HttpFailure::Broken(error) => first_cause(&*error),
            HttpFailure::Late => format!("no answer within {TIMEOUT:?}"),
            HttpFailure::TooLarge => format!("the answer has more than {ANSWER_BYTES_MAX} bytes"),
        };
        let hint = "is the replicator running, with `Metrics:Enabled` and this port?";
        Error::unavailable(format!("{url}: {why}: {hint}"))
    })?;
    Ok((status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

fn first_cause(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), first_cause)
}
