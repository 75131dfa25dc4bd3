//! The connections of the HTTP server: at most so many, and no room for clients that say nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::book::{Book, LetIn};
use super::guard::Guard;
use super::peer::Peer;
use super::timely::TimelyStream;
use super::tls::{self, Refused};
use crate::origin::Origin;

/// Wait after a failed accept: the process has no descriptor left, and others end meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves connections until `stopped` is true; then takes no new ones, and returns when the
/// requests under way are answered.
pub(super) async fn accept(
    listener: TcpListener,
    routes: Router,
    guard: Arc<Guard>,
    mut stopped: watch::Receiver<bool>,
) {
    let connections_max = guard.settings.connections_max;
    let mut connections = JoinSet::new();
    let open = Open::default();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match open.admit(from, connections_max) {
                Some(admitted) => {
                    let ends = Ends { closed: admitted.closed.clone(), stopped: stopped.clone() };
                    let client = Client { routes: routes.clone(), guard: guard.clone(), admitted };
                    connections.spawn(client.connected(stream, from, ends));
                }
                None => {
                    guard.counts.full.add();
                    tracing::warn!(
                        %from,
                        connections_max,
                        "an HTTP connection is closed: all connections have a request under way"
                    );
                }
            },
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection cannot be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The open connections.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<Connections>>);

#[derive(Default)]
struct Connections {
    book: Book,
    /// The ends of the connections in the book.
    close: BTreeMap<u64, watch::Sender<bool>>,
}

impl Open {
    /// Makes room for a connection, by closing one that is idle if it must. `None` when all are
    /// busy.
    fn admit(&self, from: SocketAddr, connections_max: usize) -> Option<Admitted> {
        let mut open = self.0.lock();
        let LetIn { number, closed } = open.book.admit(Origin::of(from.ip()), connections_max)?;
        if let Some(close) = closed.and_then(|number| open.close.remove(&number)) {
            close.send_replace(true);
        }
        let (close, closed) = watch::channel(false);
        open.close.insert(number, close);
        Some(Admitted { open: self.clone(), number, closed })
    }
}

/// The place of a connection, given back at its end.
struct Admitted {
    open: Open,
    number: u64,
    closed: watch::Receiver<bool>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.0.lock();
        open.book.end(self.number);
        open.close.remove(&self.number);
    }
}

/// A request of a connection. It is under way from the end of its body on, when its handler can
/// act, to the end of its answer.
struct UnderWay {
    open: Open,
    number: u64,
}

impl UnderWay {
    /// Notes that the request is under way. Returns `false` when the connection was closed for a
    /// new one meanwhile: the request must not reach its handler.
    fn begins(&self) -> bool {
        self.open.0.lock().book.begin(self.number)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.open.0.lock().book.rest(self.number);
    }
}

/// The body of a request or of an answer that belongs to a request.
struct Carried {
    body: Body,
    under_way: Arc<UnderWay>,
    /// True for the body of a request, at whose end the request is under way.
    is_request: bool,
}

impl HttpBody for Carried {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let has_ended = frame.is_none() || self.body.is_end_stream();
        if self.is_request && has_ended && !self.under_way.begins() {
            let why = "the connection was closed for a new one";
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::other(why)))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Passes a request to the routes, with the book kept.
async fn answered(
    routes: TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    under_way: UnderWay,
    peer: Peer,
) -> Result<Response<Body>, Infallible> {
    let under_way = Arc::new(under_way);
    request.extensions_mut().insert(peer);
    if request.body().is_end_stream() && !under_way.begins() {
        let mut closed = Response::new(Body::empty());
        *closed.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(closed);
    }
    let carried =
        |body, is_request| Body::new(Carried { body, under_way: under_way.clone(), is_request });
    let request = request.map(|body| carried(Body::new(body), true));
    let answer = hyper::service::Service::call(&routes, request).await?;
    Ok(answer.map(|body| carried(body, false)))
}

/// The two ways in which a connection is ended by this node.
struct Ends {
    closed: watch::Receiver<bool>,
    stopped: watch::Receiver<bool>,
}

impl Ends {
    /// Waits for an end. Returns whether it is at once, or after the request under way.
    async fn come(&mut self) -> bool {
        tokio::select! {
            _ = self.stopped.wait_for(|stop| *stop) => false,
            _ = self.closed.wait_for(|closed| *closed) => true,
        }
    }
}

/// The parts of a server that one connection needs.
struct Client {
    routes: Router,
    guard: Arc<Guard>,
    admitted: Admitted,
}

impl Client {
    /// Encrypts the connection, if the node has a certificate, and serves its requests.
    async fn connected(self, stream: TcpStream, address: SocketAddr, mut ends: Ends) {
        // answers are small and complete: waiting for more bytes would only delay them
        let _ = stream.set_nodelay(true);
        let Some(files) = &self.guard.tls else {
            let peer = Peer { address, names: Arc::default() };
            return self.serve(stream, peer, ends).await;
        };
        let limit = self.guard.settings.request_timeout;
        let secured = tokio::select! {
            secured = timeout(limit, Box::pin(tls::secure(stream, files.current()))) => secured,
            _ = ends.come() => return,
        };
        match secured {
            Ok(Ok((stream, names))) => {
                let peer = Peer { address, names: names.into() };
                Box::pin(self.serve(stream, peer, ends)).await;
            }
            Ok(Err(Refused::Plain)) => {
                self.guard.counts.plain.add();
                tracing::warn!(from = %address, "a client speaks plain HTTP to the port of HTTPS");
            }
            Ok(Err(Refused::Tls(error))) => {
                self.guard.counts.tls.add();
                tracing::warn!(from = %address, %error, "an HTTPS connection is refused");
            }
            // as a client that sends no request
            Err(_) => {}
        }
    }

    /// Serves the requests of a connection, to its end.
    async fn serve<S>(self, stream: S, peer: Peer, mut ends: Ends)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { routes, guard, admitted } = self;
        let limit = guard.settings.request_timeout;
        let (open, number) = (admitted.open.clone(), admitted.number);
        let routes = TowerToHyperService::new(routes);
        let service = hyper::service::service_fn(move |request| {
            let under_way = UnderWay { open: open.clone(), number };
            answered(routes.clone(), request, under_way, peer.clone())
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limit)
            .serve_connection(TokioIo::new(TimelyStream::new(stream, limit)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            is_at_once = ends.come() => {
                if is_at_once {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::task;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    use super::super::HttpSettings;
    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// An address with a server behind it.
    async fn serving(settings: HttpSettings) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let routes = Router::new()
            .route("/", axum::routing::get(async || "hello"))
            .route("/echo", axum::routing::post(async |body: String| body))
            .route("/waits", axum::routing::get(std::future::pending::<&str>));
        let guard = Guard::open(settings, address, false).unwrap();
        task::spawn("a server", accept(listener, routes, guard, stopped));
        (address, stop)
    }

    /// Asks on a connection that stays open.
    async fn ask(client: &mut TcpStream) {
        client.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "an answer");
        }
    }

    async fn is_closed(client: &mut TcpStream) -> bool {
        matches!(client.read(&mut [0; 1]).await, Ok(0) | Err(_))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_half_a_request_loses_its_connection() {
        let settings = HttpSettings::default();
        let limit = settings.request_timeout;
        let (address, _stop) = serving(settings).await;
        for said in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n", REQUEST] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let mut answer = Vec::new();
            let read = client.read_to_end(&mut answer);
            // an answer comes first, where the request was complete
            let _ = timeout(2 * limit, read).await.expect("it is closed");
            assert_eq!(answer.ends_with(b"hello"), said.ends_with(b"\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections() {
        let (address, stop) = serving(HttpSettings::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        stop.send_replace(true);
        assert!(is_closed(&mut client).await);
    }

    #[tokio::test]
    async fn clients_that_say_nothing_do_not_keep_others_out() {
        let settings = HttpSettings { connections_max: 4, ..HttpSettings::default() };
        let (address, _stop) = serving(settings).await;
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(TcpStream::connect(address).await.unwrap());
            let mut client = TcpStream::connect(address).await.unwrap();
            ask(&mut client).await;
        }
        assert!(is_closed(&mut silent[0]).await, "the oldest silent one is closed");
    }

    #[tokio::test]
    async fn a_flood_of_one_address_closes_no_connection_of_another() {
        let settings = HttpSettings { connections_max: 4, ..HttpSettings::default() };
        let (address, _stop) = serving(settings).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut patient = socket.connect(address).await.unwrap();
        ask(&mut patient).await;
        let mut flood = Vec::new();
        for _ in 0..20 {
            let mut client = TcpStream::connect(address).await.unwrap();
            ask(&mut client).await;
            flood.push(client);
        }
        ask(&mut patient).await;
        assert!(is_closed(&mut flood[0]).await);
    }

    #[tokio::test]
    async fn bodies_that_do_not_come_do_not_keep_others_out() {
        let settings = HttpSettings { connections_max: 4, ..HttpSettings::default() };
        let (address, _stop) = serving(settings).await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut client = TcpStream::connect(address).await.unwrap();
            let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
            client.write_all(head).await.unwrap();
            slow.push(client);
            ask(&mut TcpStream::connect(address).await.unwrap()).await;
        }
        assert!(is_closed(&mut slow[0]).await);
    }

    #[tokio::test]
    async fn a_request_under_way_is_not_cut_for_a_new_connection() {
        let settings = HttpSettings { connections_max: 4, ..HttpSettings::default() };
        let (address, _stop) = serving(settings).await;
        let mut busy = Vec::new();
        for _ in 0..4 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET /waits HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            busy.push(client);
        }
        // until all four requests are under way, a new connection may still find an idle one
        let mut refused = false;
        for _ in 0..1000 {
            let mut client = TcpStream::connect(address).await.unwrap();
            let asked = async {
                client.write_all(REQUEST).await?;
                client.read_u8().await
            };
            refused = asked.await.is_err();
            if refused {
                break;
            }
        }
        assert!(refused, "a fifth request");
    }
}
