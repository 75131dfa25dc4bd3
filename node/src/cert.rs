//! `antiphon cert`: an authority, and certificates of nodes, for development, tests and small
//! clusters. A cluster with an authority of its own needs certificates with the same names only.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;
use antiphon::runtime::NodeId;
use antiphon::runtime::transport::tcp::{LinkTls, certificate_name, certificate_names};
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::output::say;

/// The arguments of `antiphon cert`.
#[derive(Debug, Clone, Args)]
pub struct CertArguments {
    /// The folder for the certificates and keys. Its authority, `ca.pem` with `ca.key`, is made
    /// when it is missing, and used again when it is there.
    #[arg(long)]
    dir: PathBuf,
    /// The name of the cluster, `node.cluster_name`.
    #[arg(long, default_value = "antiphon")]
    cluster: String,
    /// Days for which the certificates of nodes are valid; an authority is valid for ten years.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// The nodes, each with its place: `node.place` and `node.name`.
    #[arg(required = true, value_name = "PLACE/NAME")]
    nodes: Vec<String>,
}

/// The end of an authority, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// Certificates are valid an hour before they are made: clocks of machines differ.
const EARLIER: Duration = Duration::hours(1);

/// Makes the certificates, replacing those that the nodes have already, and prints their files.
/// Returns `true`.
///
/// # Errors
/// `Rejected`, naming the argument or the file.
pub fn run(arguments: &CertArguments) -> Result<bool> {
    let CertArguments { dir, cluster, days, nodes } = arguments;
    let nodes = nodes.iter().map(|node| parsed(node)).collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    if let Some((_, name)) = nodes.iter().find(|(_, name)| !names.insert(name)) {
        return Err(Error::rejected(format!(
            "{name:?}: expected names that are unique in the cluster, actual twice"
        )));
    }
    for (node, tls) in nodes.iter().zip(make(dir, cluster, *days, &nodes)?) {
        let LinkTls { ca_file, cert_file, key_file } = tls;
        let (place, name) = node;
        say!("{place}/{name}: valid for {days} days; in its configuration:")?;
        say!(
            "  [links.tls]\n  ca_file = {ca_file:?}\n  cert_file = {cert_file:?}\n  key_file = {key_file:?}"
        )?;
    }
    let key = dir.join("ca.key");
    say!(
        "whoever has {} can make nodes of this cluster: keep it away from the nodes",
        key.display()
    )?;
    Ok(true)
}

/// Makes the certificates of nodes, each a place and a name, and the authority if it is missing.
///
/// # Errors
/// `Rejected`, naming the file.
pub fn make(
    dir: &Path,
    cluster: &str,
    days: u16,
    nodes: &[(String, String)],
) -> Result<Vec<LinkTls>> {
    fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
    for (place, name) in nodes {
        check_owner(&dir.join(format!("{name}.pem")), &certificate_name(cluster, place, name))?;
    }
    let authority = authority(dir, cluster)?;
    let mut made = Vec::new();
    for (place, name) in nodes {
        let key = key()?;
        let mut params = params(&format!("{name} of {place}"), i64::from(days))?;
        let uri = certificate_name(cluster, place, name);
        let uri = uri.try_into().map_err(|error| Error::bug(format!("a name: {error}")))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let signed = params.signed_by(&key, &authority).map_err(|error| failed(&error))?;
        let tls = LinkTls {
            ca_file: dir.join("ca.pem"),
            cert_file: dir.join(format!("{name}.pem")),
            key_file: dir.join(format!("{name}.key")),
        };
        // nodes take the pair when both are there
        write(&tls.key_file, &key.serialize_pem(), 0o600)?;
        write(&tls.cert_file, &signed.pem(), 0o644)?;
        made.push(tls);
    }
    Ok(made)
}

/// Makes the certificate of one node as [`make`] does, and returns the table `[links.tls]` of its
/// configuration.
///
/// # Errors
/// `Rejected`, naming the file.
pub fn table(dir: &Path, cluster: &str, days: u16, place: &str, name: &str) -> Result<String> {
    let made = make(dir, cluster, days, &[(place.to_owned(), name.to_owned())])?;
    let table = made.first().map(toml::to_string).transpose();
    let table = table.map_err(|error| Error::bug(error.to_string()))?.unwrap_or_default();
    Ok(format!("[links.tls]\n{table}\n"))
}

/// Checks that a file has no certificate of another node: names are unique in a cluster.
fn check_owner(file: &Path, uri: &str) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let names = certificate_names(file)?;
    if names.iter().any(|name| name == uri) {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`{uri}`: expected a node whose name is unique in the cluster, and a folder for this cluster only, \
         actual {} is the certificate of {names:?}",
        file.display()
    )))
}

fn parsed(node: &str) -> Result<(String, String)> {
    let refused = |why: &str| Error::rejected(format!("{node:?}: expected PLACE/NAME: {why}"));
    let (place, name) = node.split_once('/').ok_or_else(|| refused("there is no `/`"))?;
    ReplicaId::new(place).map_err(|error| refused(&error.to_string()))?;
    NodeId::new(name, 1).map_err(|error| refused(&error.to_string()))?;
    if name.contains('/') || name == "ca" || name.starts_with('.') {
        return Err(refused("the name becomes the name of a file"));
    }
    Ok((place.to_owned(), name.to_owned()))
}

fn authority(dir: &Path, cluster: &str) -> Result<Issuer<'static, KeyPair>> {
    let (cert_file, key_file) = (dir.join("ca.pem"), dir.join("ca.key"));
    let read = |file: &Path| fs::read_to_string(file).map_err(|error| cannot(file, &error));
    let (has_cert, has_key) = (cert_file.exists(), key_file.exists());
    if has_cert != has_key {
        let (there, missing) = if has_cert { (cert_file, key_file) } else { (key_file, cert_file) };
        return Err(Error::rejected(format!(
            "`--dir`: expected an authority with its key, actual {} without {}",
            there.display(),
            missing.display()
        )));
    }
    if has_cert {
        let key =
            KeyPair::from_pem(&read(&key_file)?).map_err(|error| cannot(&key_file, &error))?;
        let pem = read(&cert_file)?;
        return Issuer::from_ca_cert_pem(&pem, key).map_err(|error| cannot(&cert_file, &error));
    }
    let mut params = params(&format!("authority of the cluster {cluster}"), AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = CertifiedIssuer::self_signed(params, key()?).map_err(|error| failed(&error))?;
    write(&key_file, &made.key().serialize_pem(), 0o600)?;
    write(&cert_file, &made.pem(), 0o644)?;
    authority(dir, cluster)
}

fn params(name: &str, days: i64) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
    let seconds = SystemClock.wall().as_micros() / 1_000_000;
    let now = i64::try_from(seconds).unwrap_or(i64::MAX);
    let now = OffsetDateTime::from_unix_timestamp(now)
        .map_err(|error| Error::rejected(format!("the clock of this machine: {error}")))?;
    (params.not_before, params.not_after) = (now - EARLIER, now + Duration::days(days));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().map_err(|error| failed(&error))
}

/// Writes a file beside its place, and then puts it there: a node never sees half of it.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = (|| {
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::rejected(format!("{}: {error}", path.display()))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("a certificate cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use antiphon::runtime::transport::tcp::TcpSettings;

    use super::*;

    fn arguments(dir: &Path, nodes: &[&str]) -> CertArguments {
        CertArguments {
            dir: dir.to_owned(),
            cluster: "shop".into(),
            days: 30,
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        }
    }

    fn settings(dir: &Path, name: &str) -> TcpSettings {
        let tls = LinkTls {
            ca_file: dir.join("ca.pem"),
            cert_file: dir.join(format!("{name}.pem")),
            key_file: dir.join(format!("{name}.key")),
        };
        TcpSettings {
            cluster_name: "shop".into(),
            place: "DC A".into(),
            tls: Some(tls),
            ..TcpSettings::default()
        }
    }

    #[test]
    fn nodes_take_the_certificates_that_are_made_and_their_keys_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("certs");
        run(&arguments(&dir, &["DC A/a-1"])).unwrap();
        settings(&dir, "a-1").check_certificates("a-1").unwrap();
        let authority = fs::read(dir.join("ca.pem")).unwrap();
        // a later call adds a node, and renews another
        run(&arguments(&dir, &["DC A/a-2", "DC A/a-1"])).unwrap();
        for name in ["a-1", "a-2"] {
            settings(&dir, name).check_certificates(name).unwrap();
            let key = dir.join(format!("{name}.key"));
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read(dir.join("ca.pem")).unwrap(), authority);
        let error = settings(&dir, "a-1").check_certificates("a-3").unwrap_err().to_string();
        assert!(error.contains("antiphon://shop/DC%20A/a-3"), "{error}");
    }

    #[test]
    fn wrong_names_and_half_an_authority_are_refused_and_make_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for node in ["a-1", "/a", "A/", "A/b/c", "A/ca", "A/..", "x|y/a"] {
            let error = run(&arguments(folder.path(), &[node])).unwrap_err().to_string();
            assert!(error.contains("PLACE/NAME"), "{error}");
        }
        let error = run(&arguments(folder.path(), &["A/a", "B/a"])).unwrap_err().to_string();
        assert!(error.contains("unique in the cluster"), "{error}");
        let certs = folder.path().join("certs");
        run(&arguments(&certs, &["A/a"])).unwrap();
        let before = fs::read(certs.join("a.pem")).unwrap();
        let error = run(&arguments(&certs, &["A/c", "B/a"])).unwrap_err().to_string();
        for part in ["shop/B/a", "unique in the cluster", "a.pem", "shop/A/a"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(fs::read(certs.join("a.pem")).unwrap(), before);
        assert!(!certs.join("c.pem").exists());
        fs::remove_dir_all(certs).unwrap();
        fs::write(folder.path().join("ca.pem"), "x").unwrap();
        let error = run(&arguments(folder.path(), &["A/a"])).unwrap_err().to_string();
        assert!(error.contains("ca.pem without"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
