//! The first bytes of a connection: the id of each side, and the proof of the cookie.
//!
//! ```text
//! hello, both ways                        proof, of the dialling side first
//!  0 [u8; 8] "ANTIPHON"                    0 [u8; 32] HMAC-SHA-256, with the cookie as key, of:
//!  8 u16     version of the protocol                  1 for the dialling side, 2 for the other,
//! 10 [u8; 16] nonce                                   the dialling side's hello, the other's hello
//! 26 u16     length of the cluster's name
//! 28 u16     length of the place's name
//! 30 u16     length of the node's id
//! 32 ...     cluster, place, id
//! ```
//!
//! All numbers are little-endian. The side that dials a stream, and no link, says version 4, and
//! after its id the length of the stream's purpose (u16) and the purpose; the other side answers as
//! for a link. So a node of an earlier version refuses a stream by its version, and keeps its
//! links.
//!
//! - A proof covers both hellos and the side, so it is good for this connection and this side only:
//!   a proof that was made for another connection, or by the same side, is refused.
//! - The accepting side checks the dialling side's proof before it makes its own: who dials without
//!   the cookie gets no proof, with which it could try out cookies. It gets zeros, so that a node
//!   with a wrong cookie can say why it was refused.
//! - Nothing after the greeting is protected by the cookie: it is no replacement for TLS. With
//!   certificates the greeting runs inside TLS, and the certificate of the other side must have the
//!   name of the cluster, the place and the node that its hello names.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

use antiphon_base::text::foreign;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::refusal::{Reason, Refused, explained};
use super::settings::TcpSettings;
use crate::{Error, NodeId};

type Result<T, E = Refused> = std::result::Result<T, E>;

const MAGIC: &[u8; 8] = b"ANTIPHON";
/// Version 3 has the place. Version 2 has the proofs above; those of version 1 could be passed on
/// to another connection.
const VERSION: u16 = 3;
/// The version in the hello of a side that dials a stream.
const STREAM_VERSION: u16 = 4;
const HEAD_BYTES: usize = 32;
/// The first byte of a connection with TLS.
const TLS_HANDSHAKE: u8 = 0x16;
const NAME_BYTES_MAX: usize = 1024;
const PROOF_BYTES: usize = 32;

/// The place of the accepting side's proof when the other side's is wrong.
const NO_PROOF: [u8; PROOF_BYTES] = [0; PROOF_BYTES];

/// This side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dials,
    Accepts,
}

/// The other side of a connection, as its hello names it.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) id: NodeId,
    pub(super) place: String,
    /// The purpose of the stream that it dials; `None` for a link.
    pub(super) purpose: Option<String>,
}

/// Says hello and checks the other side. A side that dials a stream names its purpose. `claimed`
/// is set to the id that the other side claims, also when it is refused.
pub(super) async fn greet<S>(
    stream: &mut S,
    me: &NodeId,
    (side, own_purpose): (Side, Option<&str>),
    settings: &TcpSettings,
    claimed: &mut Option<NodeId>,
) -> Result<Greeted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own_id = me.to_string();
    let names = [&settings.cluster_name, &settings.place, own_id.as_str()];
    let own = hello(&nonce()?, names, own_purpose);
    write(stream, &own).await?;

    let Hello { bytes: other, cluster, place, id, purpose } =
        read_hello(stream, side, settings.tls.is_some()).await?;
    *claimed = id.parse().ok();
    if cluster != settings.cluster_name {
        return Err(Refused::rejected(
            Reason::Cluster,
            format!(
                "`cluster_name`: expected `{}`, actual `{}`",
                settings.cluster_name,
                foreign(&cluster)
            ),
        ));
    }
    let node: NodeId = id.parse().map_err(|error| Refused(Reason::NotANode, error))?;
    if node == *me {
        let why = format!("`{node}` is the id of this node itself");
        return Err(Refused::rejected(Reason::OwnId, why));
    }
    let cookie = settings.cookie.expose();
    let of = |prover: Side| match side {
        Side::Dials => proof(cookie, prover, &own, &other),
        Side::Accepts => proof(cookie, prover, &other, &own),
    };
    let wrong = || {
        let why = format!("`cookie`: that of `{}` is another one", foreign(&id));
        Refused::rejected(Reason::Cookie, why)
    };
    let mut sent = [0; PROOF_BYTES];
    match side {
        Side::Dials => {
            write(stream, &of(Side::Dials).finalize().into_bytes()).await?;
            read(stream, &mut sent).await?;
            of(Side::Accepts).verify_slice(&sent).map_err(|_| wrong())?;
        }
        Side::Accepts => {
            read(stream, &mut sent).await?;
            if of(Side::Dials).verify_slice(&sent).is_err() {
                write(stream, &NO_PROOF).await?;
                return Err(wrong());
            }
            write(stream, &of(Side::Accepts).finalize().into_bytes()).await?;
        }
    }
    Ok(Greeted { id: node, place, purpose })
}

/// The hello of the other side.
struct Hello {
    bytes: Vec<u8>,
    cluster: String,
    place: String,
    id: String,
    purpose: Option<String>,
}

/// Reads the hello of the other side, when this side is `side`.
async fn read_hello<S: AsyncRead + Unpin>(
    stream: &mut S,
    side: Side,
    is_tls: bool,
) -> Result<Hello> {
    let mut head = [0; HEAD_BYTES];
    read(stream, &mut head).await?;
    if head[0] == TLS_HANDSHAKE && !is_tls {
        let why = "`links.tls`: the other side speaks TLS, and this node does not";
        return Err(Refused::rejected(Reason::Tls, why));
    }
    if &head[..8] != MAGIC {
        return Err(Refused::rejected(Reason::NotANode, "the other side is no Antiphon node"));
    }
    let version = u16::from_le_bytes([head[8], head[9]]);
    let is_stream = version == STREAM_VERSION && side == Side::Accepts;
    if version != VERSION && !is_stream {
        let why = format!("protocol: expected version {VERSION}, actual {version}");
        return Err(Refused::rejected(Reason::Version, why));
    }
    let cluster = read_text(stream, u16::from_le_bytes([head[26], head[27]])).await?;
    let place = read_text(stream, u16::from_le_bytes([head[28], head[29]])).await?;
    let id = read_text(stream, u16::from_le_bytes([head[30], head[31]])).await?;
    let mut bytes = head.to_vec();
    for text in [&cluster, &place, &id] {
        bytes.extend_from_slice(text.as_bytes());
    }
    let mut purpose = None;
    if is_stream {
        let mut length = [0; 2];
        read(stream, &mut length).await?;
        let text = read_text(stream, u16::from_le_bytes(length)).await?;
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(text.as_bytes());
        purpose = Some(text);
    }
    Ok(Hello { bytes, cluster, place, id, purpose })
}

/// A hello with the names of the cluster, the place and the node.
fn hello(nonce: &[u8; 16], names: [&str; 3], purpose: Option<&str>) -> Vec<u8> {
    let version = if purpose.is_some() { STREAM_VERSION } else { VERSION };
    let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
    let mut hello = Vec::new();
    hello.extend_from_slice(MAGIC);
    hello.extend_from_slice(&version.to_le_bytes());
    hello.extend_from_slice(nonce);
    for name in names {
        hello.extend_from_slice(&length(name));
    }
    for name in names {
        hello.extend_from_slice(name.as_bytes());
    }
    if let Some(purpose) = purpose {
        hello.extend_from_slice(&length(purpose));
        hello.extend_from_slice(purpose.as_bytes());
    }
    hello
}

fn nonce() -> Result<[u8; 16]> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| {
        let why = format!("the system gives no random number: {error}");
        Refused(Reason::Fault, Error::unavailable(why))
    })?;
    Ok(nonce)
}

/// The proof of one side, over the hello of the dialling side and that of the accepting side.
fn proof(cookie: &str, prover: Side, dials: &[u8], accepts: &[u8]) -> Hmac<Sha256> {
    let key = cookie.as_bytes();
    let mut proof = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is taken");
    proof.update(&[match prover {
        Side::Dials => 1,
        Side::Accepts => 2,
    }]);
    proof.update(dials);
    proof.update(accepts);
    proof
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<()> {
    let written = stream.write_all(bytes).await;
    written.map_err(|error| {
        Refused(Reason::Closed, Error::unavailable("the connection broke").with_source(error))
    })
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut [u8]) -> Result<()> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) => Err(explained(error)),
    }
}

async fn read_text<S: AsyncRead + Unpin>(stream: &mut S, length: u16) -> Result<String> {
    if usize::from(length) > NAME_BYTES_MAX {
        let why =
            format!("hello: expected a name of at most {NAME_BYTES_MAX} bytes, actual {length}");
        return Err(Refused::rejected(Reason::NotANode, why));
    }
    let mut bytes = vec![0; usize::from(length)];
    read(stream, &mut bytes).await?;
    String::from_utf8(bytes)
        .map_err(|_| Refused::rejected(Reason::NotANode, "hello: expected names in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> String {
        let lines = include_str!("../../../fixtures/wire-3.txt");
        let mut lines = lines.lines().filter_map(|line| line.split_once(" = "));
        lines.find(|(other, _)| *other == name).expect("a line").1.to_owned()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hello_and_proofs_are_those_of_the_fixtures() {
        let nonce = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let (dials, accepts) = (
            hello(&nonce, ["antiphon", "A", "a@1"], None),
            hello(&[7; 16], ["antiphon", "B", "b@1"], None),
        );
        assert_eq!(hex(&dials), fixture("hello"));
        for (name, side) in [("proof.dials", Side::Dials), ("proof.accepts", Side::Accepts)] {
            let proof = proof("secret", side, &dials, &accepts).finalize().into_bytes();
            assert_eq!(hex(&proof), fixture(name));
        }
    }

    fn settings(cookie: &str) -> TcpSettings {
        TcpSettings { cookie: cookie.into(), ..TcpSettings::default() }
    }

    fn id(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    /// A side that greets until the end, and the other end of its connection.
    fn side(
        name: &str,
        side: Side,
        cookie: &str,
    ) -> (tokio::task::JoinHandle<Result<Greeted>>, tokio::io::DuplexStream) {
        side_of(name, (side, None), cookie)
    }

    /// The same for a side that dials a stream of this purpose.
    fn side_of(
        name: &str,
        (side, purpose): (Side, Option<&'static str>),
        cookie: &str,
    ) -> (tokio::task::JoinHandle<Result<Greeted>>, tokio::io::DuplexStream) {
        let (mut here, there) = tokio::io::duplex(4096);
        let (me, settings) = (id(name), settings(cookie));
        let greeting =
            async move { greet(&mut here, &me, (side, purpose), &settings, &mut None).await };
        (antiphon_base::task::spawn("side", greeting), there)
    }

    async fn hello_of(stream: &mut tokio::io::DuplexStream) -> Vec<u8> {
        let mut hello = vec![0; HEAD_BYTES];
        stream.read_exact(&mut hello).await.unwrap();
        let names = [26, 28, 30].map(|at| usize::from(hello[at])).iter().sum();
        let mut rest = vec![0; names];
        stream.read_exact(&mut rest).await.unwrap();
        hello.extend(rest);
        hello
    }

    #[tokio::test]
    async fn sides_with_one_cookie_greet_each_other_and_others_are_told_why_not() {
        for (theirs, expected) in [("x", true), ("y", false), ("", false)] {
            let (a, mut of_a) = side("a", Side::Dials, "x");
            let (b, mut of_b) = side("b", Side::Accepts, theirs);
            tokio::io::copy_bidirectional(&mut of_a, &mut of_b).await.unwrap();
            let (a, b) = (a.await.unwrap(), b.await.unwrap());
            if expected {
                assert_eq!((a.unwrap().id, b.unwrap().id), (id("b"), id("a")));
            } else {
                for error in [a.unwrap_err(), b.unwrap_err()] {
                    let Refused(reason, error) = error;
                    assert_eq!(reason, Reason::Cookie);
                    assert!(error.to_string().contains("`cookie`: that of"), "{error}");
                }
            }
        }
    }

    /// A stranger without the cookie opens two connections to a node, and gives the nonce of the
    /// one back on the other.
    #[tokio::test]
    async fn a_node_makes_no_proof_that_a_stranger_could_pass_on() {
        let (first, mut of_first) = side("a", Side::Accepts, "x");
        let (second, mut of_second) = side("a", Side::Accepts, "x");
        let asked = hello_of(&mut of_first).await;
        let nonce: [u8; 16] = asked[10..26].try_into().unwrap();
        hello_of(&mut of_second).await;
        of_second.write_all(&hello(&nonce, ["antiphon", "B", "b@1"], None)).await.unwrap();
        of_second.write_all(&[1; PROOF_BYTES]).await.unwrap();
        let mut given = [0; PROOF_BYTES];
        of_second.read_exact(&mut given).await.unwrap();
        assert_eq!(given, NO_PROOF, "who shows no proof gets none");
        second.await.unwrap().unwrap_err();

        of_first.write_all(&hello(&[0; 16], ["antiphon", "A", "a@1"], None)).await.unwrap();
        let error = first.await.unwrap().unwrap_err().1.to_string();
        assert!(error.contains("the id of this node itself"), "{error}");
    }

    /// A stranger at an address that a node dials has no cookie, and gives the node's own proof
    /// back.
    #[tokio::test]
    async fn the_proof_of_the_dialling_side_is_none_of_the_accepting_side() {
        let (a, mut of_a) = side("a", Side::Dials, "x");
        hello_of(&mut of_a).await;
        of_a.write_all(&hello(&[0; 16], ["antiphon", "B", "b@1"], None)).await.unwrap();
        let mut proof = [0; PROOF_BYTES];
        of_a.read_exact(&mut proof).await.unwrap();
        of_a.write_all(&proof).await.unwrap();
        let error = a.await.unwrap().unwrap_err().1.to_string();
        assert!(error.contains("`cookie`: that of `b@1`"), "{error}");
    }

    #[tokio::test]
    async fn a_hello_of_an_older_version_is_refused_by_its_version() {
        for (version, lines) in [
            (1, include_str!("../../../fixtures/wire-1.txt")),
            (2, include_str!("../../../fixtures/wire-2.txt")),
        ] {
            let (a, mut of_a) = side("a", Side::Accepts, "x");
            let old = lines.lines().find_map(|line| line.strip_prefix("hello = ")).unwrap();
            let old: Vec<u8> = (0..old.len() / 2)
                .map(|at| u8::from_str_radix(&old[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            of_a.write_all(&old).await.unwrap();
            let error = a.await.unwrap().unwrap_err().1.to_string();
            assert!(error.contains(&format!("expected version 3, actual {version}")), "{error}");
        }
    }

    #[tokio::test]
    async fn the_purpose_of_a_stream_is_a_part_of_the_hello_of_the_side_that_dials() {
        let (a, mut of_a) = side_of("a", (Side::Dials, Some("actors")), "x");
        let (b, mut of_b) = side("b", Side::Accepts, "x");
        tokio::io::copy_bidirectional(&mut of_a, &mut of_b).await.unwrap();
        let (a, b) = (a.await.unwrap().unwrap(), b.await.unwrap().unwrap());
        assert_eq!((a.id, a.purpose), (id("b"), None));
        assert_eq!((b.id, b.purpose.as_deref()), (id("a"), Some("actors")));
    }

    /// The hello of a node that dials a link, as a node of an earlier version wants it.
    #[tokio::test]
    async fn a_stream_is_refused_by_its_version_where_only_links_are_expected() {
        let hello = hello(&[7; 16], ["antiphon", "B", "b@1"], Some("actors"));
        assert_eq!(hello[8..10], [4, 0]);
        let (a, mut of_a) = side("a", Side::Dials, "x");
        of_a.write_all(&hello).await.unwrap();
        let error = a.await.unwrap().unwrap_err().1.to_string();
        assert!(error.contains("protocol: expected version 3, actual 4"), "{error}");
    }
}
