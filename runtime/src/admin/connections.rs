//! The connections of the HTTP server.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for a request, from the connection or the last answer to the end of its head. Then
/// the connection is closed, so that a client that says nothing holds no descriptor for ever. A
/// balancer closes its idle connections earlier (most after 60 s), so that it does not send a
/// request on a connection that is being closed here.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

/// Wait after a failed accept: the process has no descriptor left, and others end meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves connections until `stopped` is true; then takes no new ones, and returns when the
/// requests under way are answered.
pub(super) async fn accept(
    listener: TcpListener,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, routes.clone(), stopped.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, routes: Router, mut stopped: watch::Receiver<bool>) {
    // answers are small and complete: waiting for more bytes would only delay them
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::task;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// An address with a server behind it.
    async fn serving() -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let routes = Router::new().route("/", axum::routing::get(|| async { "hello" }));
        task::spawn("a server", accept(listener, routes, stopped));
        (address, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_half_a_request_loses_its_connection() {
        let (address, _stop) = serving().await;
        for said in
            [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"]
        {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let mut answer = Vec::new();
            let read = client.read_to_end(&mut answer);
            // an answer comes first, where the request was complete
            let _ = tokio::time::timeout(2 * REQUEST_TIMEOUT, read).await.expect("it is closed");
            assert_eq!(answer.ends_with(b"hello"), said.ends_with(b"\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections() {
        let (address, stop) = serving().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        client.read_exact(&mut first).await.unwrap();
        stop.send_replace(true);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"hello"));
    }
}
