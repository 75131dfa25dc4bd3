//! The first bytes of a connection: the id of each side, and the proof of the cookie.
//!
//! ```text
//! hello, both ways                        proof, both ways
//!  0 [u8; 8] "ANTIPHON"                    0 [u8; 32] SHA-256 of: cookie length, cookie,
//!  8 u16     version of the protocol                  the other's nonce, own id
//! 10 [u8; 16] nonce
//! 26 u16     length of the cluster's name
//! 28 u16     length of the node's id
//! 30 ...     name, id
//! ```
//!
//! All numbers are little-endian. The id is part of the proof, so that a proof cannot be sent back
//! to its maker.

use std::hash::{BuildHasher, Hasher, RandomState};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::TcpSettings;
use crate::text::foreign;
use crate::{Error, NodeId, Result};

const MAGIC: &[u8; 8] = b"ANTIPHON";
const VERSION: u16 = 1;
const NAME_BYTES_MAX: usize = 1024;

/// Says hello, checks the other side, and returns its id. `claimed` is set to the id that the other
/// side claims, also when it is refused.
pub(super) async fn greet<S>(
    stream: &mut S,
    me: &NodeId,
    settings: &TcpSettings,
    claimed: &mut Option<NodeId>,
) -> Result<NodeId>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let nonce = nonce();
    let own_id = me.to_string();
    write(stream, &hello(&nonce, &settings.cluster_name, &own_id)).await?;

    let mut head = [0; 30];
    read(stream, &mut head).await?;
    if &head[..8] != MAGIC {
        return Err(Error::rejected("the other side is no Antiphon node"));
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version != VERSION {
        return Err(Error::rejected(format!(
            "protocol: expected version {VERSION}, actual {version}"
        )));
    }
    let cluster = read_text(stream, u16::from_le_bytes([head[26], head[27]])).await?;
    let id = read_text(stream, u16::from_le_bytes([head[28], head[29]])).await?;
    *claimed = id.parse().ok();
    if cluster != settings.cluster_name {
        return Err(Error::rejected(format!(
            "`cluster_name`: expected `{}`, actual `{}`",
            settings.cluster_name,
            foreign(&cluster)
        )));
    }
    write(stream, &proof(settings.cookie.expose(), &head[10..26], &own_id)).await?;
    let mut other = [0; 32];
    read(stream, &mut other).await?;
    // the nonce is used once, so the time of the comparison reveals nothing useful
    if other != proof(settings.cookie.expose(), &nonce, &id) {
        return Err(Error::rejected(format!(
            "`cookie`: that of `{}` is another one",
            foreign(&id)
        )));
    }
    id.parse()
}

fn hello(nonce: &[u8; 16], cluster_name: &str, id: &str) -> Vec<u8> {
    let mut hello = Vec::new();
    hello.extend_from_slice(MAGIC);
    hello.extend_from_slice(&VERSION.to_le_bytes());
    hello.extend_from_slice(nonce);
    for text in [cluster_name, id] {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        hello.extend_from_slice(&length.to_le_bytes());
    }
    hello.extend_from_slice(cluster_name.as_bytes());
    hello.extend_from_slice(id.as_bytes());
    hello
}

fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    for half in nonce.chunks_exact_mut(8) {
        // keyed by the operating system's randomness
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    nonce
}

fn proof(cookie: &str, nonce: &[u8], id: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((cookie.len() as u64).to_le_bytes());
    hash.update(cookie.as_bytes());
    hash.update(nonce);
    hash.update(id.as_bytes());
    hash.finalize().into()
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<()> {
    let written = stream.write_all(bytes).await;
    written.map_err(|error| Error::unavailable("the connection broke").with_source(error))
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut [u8]) -> Result<()> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Error::unavailable("the other side closed the connection").with_source(error))
        }
    }
}

async fn read_text<S: AsyncRead + Unpin>(stream: &mut S, length: u16) -> Result<String> {
    if usize::from(length) > NAME_BYTES_MAX {
        return Err(Error::rejected(format!(
            "hello: expected a name of at most {NAME_BYTES_MAX} bytes, actual {length}"
        )));
    }
    let mut bytes = vec![0; usize::from(length)];
    read(stream, &mut bytes).await?;
    String::from_utf8(bytes).map_err(|_| Error::rejected("hello: expected names in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> String {
        let lines = include_str!("../../../fixtures/wire-1.txt");
        let mut lines = lines.lines().filter_map(|line| line.split_once(" = "));
        lines.find(|(other, _)| *other == name).expect("a line").1.to_owned()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hello_and_proof_are_those_of_the_fixtures() {
        let nonce = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(hex(&hello(&nonce, "antiphon", "a@1")), fixture("hello"));
        assert_eq!(hex(&proof("secret", &nonce, "a@1")), fixture("proof"));
    }
}
