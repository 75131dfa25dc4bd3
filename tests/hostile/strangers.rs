//! Attackers that know nothing but the address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::transport::memory::SplitMix64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::wire::hello;

/// Connections at the same time of an attack that sends bytes.
const LANES: usize = 8;

/// Random bytes.
pub(crate) fn random(random: &mut SplitMix64, count: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Sends that many random bytes, over as many connections as it takes.
pub(crate) async fn noise(address: String, bytes: usize) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES as u64 {
        let address = address.clone();
        lanes.spawn(async move {
            let mut seed = SplitMix64::new(lane);
            let mut left = bytes / LANES;
            while left > 0 {
                let chunk = random(&mut seed, left.min(64 * 1024));
                left -= chunk.len();
                let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
                // the node may close before all is sent
                let _ = stream.write_all(&chunk).await;
                let _ = stream.read(&mut [0; 64]).await;
            }
        });
    }
    while lanes.join_next().await.is_some() {}
}

/// Holds silent connections, and makes each again when it is closed: half of them from the address
/// of the members, the others from many addresses.
pub(crate) async fn half_open(address: String, count: usize, until: Instant) {
    let address: SocketAddr = address.parse().expect("an address with a port");
    let mut connections = JoinSet::new();
    for number in 0..count {
        let last = u8::try_from(number % 200).expect("a byte") + 2;
        let own =
            if number % 2 == 0 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 0, 9, last) };
        connections.spawn(async move {
            // not all at once, nor all again at once
            let pause = Duration::from_millis(1 + number as u64 % 997);
            loop {
                tokio::time::sleep(pause).await;
                let socket = TcpSocket::new_v4().expect("a descriptor");
                let bound = socket.bind((own, 0).into());
                bound.expect("an address of this machine");
                if let Ok(mut stream) = socket.connect(address).await {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                tokio::time::sleep(9 * pause).await;
            }
        });
    }
    tokio::time::sleep_until(until).await;
    connections.shutdown().await;
}

/// Sends a hello, one byte a second.
pub(crate) async fn byte_by_byte(address: String, until: Instant) {
    let mut connections = JoinSet::new();
    for _ in 0..20 {
        let address = address.clone();
        connections.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
                for byte in hello([0; 16], "slow@1") {
                    if stream.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    tokio::time::sleep_until(until).await;
    connections.shutdown().await;
}

/// Sends the head of a TLS handshake, and then garbage of the length that it has announced.
pub(crate) async fn garbage_after_a_tls_head(address: String, until: Instant) {
    let mut seed = SplitMix64::new(1);
    while SystemClock.now() < until {
        let length = usize::try_from(seed.next_u64() % 16_384).expect("a length");
        let mut bytes = vec![22, 3, 1];
        bytes.extend_from_slice(&u16::try_from(length).expect("a length").to_be_bytes());
        bytes.extend(random(&mut seed, length));
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read(&mut [0; 64]).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Connects a hundred times in a second, and says the hello of a node without certificates.
pub(crate) async fn reconnects(address: String, until: Instant) {
    while SystemClock.now() < until {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(&hello([0; 16], "again@1")).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
