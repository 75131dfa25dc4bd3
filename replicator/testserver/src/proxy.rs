//! A proxy before a server, for tests of a network that drops everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A TCP proxy. It can drop all data while its connections stay open, like a network that lost a
/// route. Its connections live as long as their ends.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy before the server at an address. A cancelled call leaves nothing running.
    ///
    /// # Errors
    /// The error of a listener on a free port.
    pub async fn before(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let swallows = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&swallows);
        task::spawn("proxy", async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(server).await else { continue };
                let ((from, to), (back_from, back_to)) = (near.into_split(), far.into_split());
                task::spawn("proxy, there", pump(from, back_to, Arc::clone(&switch)));
                task::spawn("proxy, back", pump(back_from, to, Arc::clone(&switch)));
            }
        });
        Ok(Self { address, swallows })
    }

    /// The address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops all data while this is on.
    pub fn swallow(&self, on: bool) {
        self.swallows.store(on, Ordering::SeqCst);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallows: Arc<AtomicBool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !swallows.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
