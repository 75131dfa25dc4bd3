//! Certificates: good ones, and every kind of bad one.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use tempfile::TempDir;

use super::*;
use crate::transport::tcp::TcpSettings;
use crate::transport::tcp::hello;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A folder with the files of a node's certificate.
struct Made {
    folder: TempDir,
}

impl Made {
    fn new(by: &Authority, name: &str) -> Self {
        Self::in_years(by, name, (2020, 2120))
    }

    fn in_years(by: &Authority, name: &str, (from, until): (i32, i32)) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.write(by, name, (from, until));
        fs::write(&made.files().ca_file, by.pem()).unwrap();
        made
    }

    fn write(&self, by: &Authority, name: &str, (from, until): (i32, i32)) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        fs::write(&self.files().cert_file, certificate.pem()).unwrap();
        fs::write(&self.files().key_file, key.serialize_pem()).unwrap();
    }

    fn files(&self) -> LinkTls {
        let file = |name| self.folder.path().join(name);
        LinkTls { ca_file: file("ca.pem"), cert_file: file("a.pem"), key_file: file("a.key") }
    }

    fn load(&self, name: &str) -> Result<Loaded> {
        load(&self.files(), name, NOW)
    }

    /// The certificates as a liar uses them, who does not check his own.
    fn unchecked(&self) -> Loaded {
        let files = self.files();
        let mut names = uris(&FILES.certificates("cert_file", &files.cert_file).unwrap()[0]);
        load(&files, &names.remove(0), Duration::from_secs(1_600_000_000)).unwrap()
    }
}

const NOW: Duration = Duration::from_secs(1_796_000_000);

fn name_of(node: &str) -> String {
    certificate_name("antiphon", "A", node)
}

fn refused(made: &Made, parts: &[&str]) {
    let Err(error) = made.load(&name_of("a")) else { panic!("taken: {parts:?}") };
    for part in parts {
        assert!(error.to_string().contains(part), "{error}: {part}");
    }
}

#[test]
fn the_own_certificate_is_checked_as_the_others_will() {
    let ours = authority();
    let good = Made::new(&ours, &name_of("a"));
    let year_2120 = Duration::from_secs(4_733_510_400);
    assert_eq!(good.load(&name_of("a")).unwrap().expires, year_2120);

    refused(&Made::new(&ours, &name_of("b")), &["cert_file", "antiphon://antiphon/A/a", "A/b"]);
    let other = certificate_name("other", "A", "a");
    refused(&Made::new(&ours, &other), &["cert_file", "antiphon://other/A/a"]);
    refused(&Made::in_years(&ours, &name_of("a"), (2020, 2021)), &["valid until Jan  1", "2021"]);
    refused(&Made::in_years(&ours, &name_of("a"), (2119, 2120)), &["valid from Jan  1", "2119"]);

    let strange = Made::new(&ours, &name_of("a"));
    fs::write(&strange.files().ca_file, authority().pem()).unwrap();
    refused(&strange, &["`links.tls.cert_file`", "an authority in `ca_file`"]);
}

#[test]
fn files_that_are_none_are_named() {
    let ours = authority();
    for (file, expected) in
        [("ca.pem", "`links.tls.ca_file`"), ("a.pem", "cert_file"), ("a.key", "key_file")]
    {
        for text in [None, Some(""), Some("no PEM"), Some("-----BEGIN CERTIFICATE-----\nAA\n")] {
            let made = Made::new(&ours, &name_of("a"));
            let path = made.folder.path().join(file);
            match text {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            refused(&made, &[expected, file]);
        }
    }
    let made = Made::new(&ours, &name_of("a"));
    fs::write(&made.files().key_file, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    refused(&made, &["key_file", "the private key of the certificate"]);
}

/// While the certificate is new and its key is not there yet, the old ones stay in use.
#[test]
fn a_rotation_that_is_half_done_leaves_the_old_certificate_in_use() {
    let ours = authority();
    let made = Made::in_years(&ours, &name_of("a"), (2020, 2100));
    let credentials = Credentials::read(&made.files(), name_of("a"), NOW).unwrap();
    assert!(!credentials.refresh(NOW).unwrap(), "nothing has changed");

    let old_key = fs::read(&made.files().key_file).unwrap();
    made.write(&ours, &name_of("a"), (2020, 2110));
    let new_key = fs::read(&made.files().key_file).unwrap();
    fs::write(&made.files().key_file, [&old_key[..], b"\n"].concat()).unwrap();
    let before = credentials.current().expires;
    credentials.refresh(NOW).unwrap_err();
    assert_eq!(credentials.current().expires, before);

    fs::write(&made.files().key_file, [&new_key[..], b"\n\n"].concat()).unwrap();
    assert!(credentials.refresh(NOW).unwrap());
    assert!(credentials.current().expires > before);
}

/// Both ends of a connection over loopback, with what each says of the other.
async fn meet(a: Loaded, b: Loaded) -> [Result<(NodeId, String)>; 2] {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dials = async {
        let stream = TcpStream::connect(address).await.unwrap();
        greet(stream, Side::Dials, a, "a").await
    };
    let accepts = async {
        let (stream, _) = listener.accept().await.unwrap();
        greet(stream, Side::Accepts, b, "b").await
    };
    let (dials, accepts) = tokio::join!(dials, accepts);
    [dials, accepts]
}

async fn greet(
    stream: TcpStream,
    side: Side,
    loaded: Loaded,
    me: &str,
) -> Result<(NodeId, String)> {
    let settings = TcpSettings { place: "A".to_owned(), ..TcpSettings::default() };
    let mut stream = secure(stream, side, &loaded).await?;
    let me = NodeId::new(me, 1).unwrap();
    let side = (side, None);
    let hello::Greeted { id, place, .. } =
        hello::greet(&mut stream, &me, side, &settings, &mut None).await?;
    check_name(stream.get_ref().1.peer_certificates(), "antiphon", &place, &id)?;
    Ok((id, place))
}

#[tokio::test]
async fn nodes_of_one_authority_know_each_other() {
    let ours = authority();
    let (a, b) = (Made::new(&ours, &name_of("a")), Made::new(&ours, &name_of("b")));
    let [a, b] = meet(a.unchecked(), b.unchecked()).await;
    assert_eq!((a.unwrap().0.name(), b.unwrap().0.name()), ("b", "a"));
}

#[tokio::test]
async fn a_node_that_claims_to_be_another_is_refused() {
    let ours = authority();
    let b = Made::new(&ours, &name_of("b"));
    for liar in ["c", "b"] {
        let [_, seen] = meet(Made::new(&ours, &name_of(liar)).unchecked(), b.unchecked()).await;
        let error = seen.unwrap_err().to_string();
        assert!(error.contains("antiphon://antiphon/A/a") && error.contains(liar), "{error}");
    }
    let other_place = certificate_name("antiphon", "B", "a");
    let [_, seen] = meet(Made::new(&ours, &other_place).unchecked(), b.unchecked()).await;
    assert!(seen.unwrap_err().to_string().contains("antiphon://antiphon/B/a"));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_both_sides() {
    let (a, b) = (Made::new(&authority(), &name_of("a")), Made::new(&authority(), &name_of("b")));
    let both = meet(a.unchecked(), b.unchecked()).await;
    let texts = both.map(|seen| seen.unwrap_err().to_string());
    assert!(texts[0].contains("no authority in `ca_file` has signed"), "{texts:?}");
    assert!(texts[1].contains("refuses the certificate of this node"), "{texts:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_is_refused() {
    let ours = authority();
    let b = Made::new(&ours, &name_of("b"));
    let old = Made::in_years(&ours, &name_of("a"), (2019, 2021));
    let [_, seen] = meet(old.unchecked(), b.unchecked()).await;
    assert!(seen.unwrap_err().to_string().contains("has expired"));
}

#[tokio::test]
async fn old_and_new_authority_hold_at_the_same_time() {
    let (old, new) = (authority(), authority());
    let (a, b) = (Made::new(&old, &name_of("a")), Made::new(&new, &name_of("b")));
    for made in [&a, &b] {
        fs::write(&made.files().ca_file, old.pem() + &new.pem()).unwrap();
    }
    let [a, b] = meet(a.unchecked(), b.unchecked()).await;
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
}
