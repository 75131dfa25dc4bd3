//! A TCP proxy that can drop all data while its connections stay open, like a network that lost a
//! route.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    pub(crate) address: String,
    swallows: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let swallows = Arc::new(AtomicBool::new(false));
        let switch = swallows.clone();
        task::spawn("proxy", async move {
            while let Ok((inner, _)) = listener.accept().await {
                let Ok(outer) = TcpStream::connect(&target).await else { continue };
                let ((from, to), (back_from, back_to)) = (inner.into_split(), outer.into_split());
                task::spawn("proxy", pump(from, back_to, switch.clone()));
                task::spawn("proxy", pump(back_from, to, switch.clone()));
            }
        });
        Self { address, swallows }
    }

    pub(crate) fn swallow(&self, on: bool) {
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
