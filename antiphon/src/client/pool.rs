//! The connections to one node: each has one request at a time, and is kept for the next one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Access;
use crate::prelude::*;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

type Connection = SendRequest<Full<Bytes>>;

/// The outcome of one attempt.
pub(super) enum Attempt {
    /// The node has answered.
    Answered(Response<Bytes>),
    /// The node was not reached: nothing was sent.
    NotSent(String),
    /// The connection broke after the request was sent, before the answer was there.
    Broken(String),
}

/// The connections to one node, all with the same access: a connection has the certificate of the
/// client that made it.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) address: String,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(address: String) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// Sends a request. `begins` is called just before its first byte may leave.
    ///
    /// A cancelled call closes its connection.
    pub(super) async fn send(
        &self,
        (access, connect_timeout): (&Access, Duration),
        request: Request<Full<Bytes>>,
        begins: impl FnOnce(),
    ) -> Attempt {
        let connected = tokio::time::timeout(connect_timeout, self.connection(access)).await;
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Attempt::NotSent(error.to_string()),
            Err(_) => {
                let why = format!("{}: no connection within {connect_timeout:?}", self.address);
                return Attempt::NotSent(why);
            }
        };
        begins();
        let answer = match connection.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut failed) => {
                let was_sent = failed.take_message().is_none();
                let why = format!("{}: {}", self.address, failed.error());
                return if was_sent { Attempt::Broken(why) } else { Attempt::NotSent(why) };
            }
        };
        let (head, body) = answer.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => {
                self.idle.lock().push(connection);
                Attempt::Answered(Response::from_parts(head, body.to_bytes()))
            }
            Err(error) => Attempt::Broken(format!("{}: {error}", self.address)),
        }
    }

    /// A kept connection that is ready, or a new one.
    async fn connection(&self, access: &Access) -> Result<Connection> {
        loop {
            let kept = self.idle.lock().pop();
            let Some(mut connection) = kept else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let cannot = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("{}: {error}", self.address))
        };
        let stream = TcpStream::connect(&self.address).await.map_err(|error| cannot(&error))?;
        // a command is one small write: waiting for more bytes would only delay it
        let _ = stream.set_nodelay(true);
        let greeted = match &access.tls {
            None => greet(stream).await,
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                greet(tls.connect(host, stream).await?).await
            }
        };
        greeted.map_err(|error| cannot(&error))
    }
}

async fn greet<S>(stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(TokioIo::new(stream)).await?;
    crate::base::task::spawn("client connection", async move {
        let _ = driver.await;
    });
    Ok(connection)
}
