//! The authority, and the certificates that it signs.

use std::fs;
use std::path::Path;

use crate::base::time::{Clock, SystemClock};
use crate::prelude::*;
use crate::runtime::admin::check_name;
use crate::runtime::transport::tcp::{LinkTls, certificate_name, certificate_names};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use super::node::CertNode;
use crate::app::commands::whole_file::{cannot, write};

/// The end of an authority, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// Certificates are valid an hour before they are made: clocks of machines differ.
const EARLIER: Duration = Duration::hours(1);

/// Makes the certificates of nodes, and the authority if it is missing.
///
/// # Errors
/// `Rejected`, naming the file.
pub fn make(dir: &Path, cluster: &str, days: u16, nodes: &[CertNode]) -> Result<Vec<LinkTls>> {
    fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
    for CertNode { place, name, .. } in nodes {
        let uri = certificate_name(cluster, place, name);
        check_owner(&dir.join(format!("{name}.pem")), Some(&uri))?;
    }
    let authority = authority(dir, cluster)?;
    let mut made = Vec::new();
    for CertNode { place, name, hosts } in nodes {
        let key = key()?;
        let mut params = params(&format!("{name} of {place}"), i64::from(days))?;
        let uri = certificate_name(cluster, place, name);
        let uri = uri.try_into().map_err(|error| Error::bug(format!("a name: {error}")))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.subject_alt_names.extend(names(hosts)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let tls = LinkTls {
            ca_file: dir.join("ca.pem"),
            cert_file: dir.join(format!("{name}.pem")),
            key_file: dir.join(format!("{name}.key")),
        };
        sign(&params, &key, &authority, (&tls.cert_file, &tls.key_file))?;
        made.push(tls);
    }
    Ok(made)
}

/// Makes the certificate of one node as [`make`] does, and returns the table `[links.tls]` of its
/// configuration.
///
/// # Errors
/// `Rejected`, naming the file.
pub fn table(dir: &Path, cluster: &str, days: u16, node: CertNode) -> Result<String> {
    let made = make(dir, cluster, days, &[node])?;
    let table = made.first().map(toml::to_string).transpose();
    let table = table.map_err(|error| Error::bug(error.to_string()))?.unwrap_or_default();
    Ok(format!("[links.tls]\n{table}\n"))
}

/// Checks that a file has no certificate of another node: names are unique in a cluster. `uri` is
/// the name of a node; the certificate of a client has none.
fn check_owner(file: &Path, uri: Option<&str>) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let names = certificate_names(file)?;
    let is_own = match uri {
        Some(uri) => names.iter().any(|name| name == uri),
        None => names.is_empty(),
    };
    if is_own {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "{:?}: expected a name that is unique in the cluster, and a folder for this cluster only, actual {} is the certificate of {names:?}",
        uri.unwrap_or("a client"),
        file.display()
    )))
}

/// Checks the name of a client, which becomes the name of a file.
///
/// # Errors
/// `Rejected`, with what was expected.
pub(super) fn of_client(name: &str) -> Result<&str> {
    let checked = check_name(name).and_then(|()| match name {
        "ca" => Err("expected another name than that of the authority".to_owned()),
        _ => Ok(name),
    });
    checked.map_err(|why| Error::rejected(format!("`--client` {name:?}: {why}")))
}

/// Makes the certificate of a client of the HTTP interface. No node takes it for that of a node.
///
/// # Errors
/// `Rejected`, naming the file.
pub(super) fn make_client(dir: &Path, cluster: &str, days: u16, name: &str) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| cannot(dir, &error))?;
    check_owner(&dir.join(format!("{name}.pem")), None)?;
    let authority = authority(dir, cluster)?;
    let key = key()?;
    let mut params = params(name, i64::from(days))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let files = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    sign(&params, &key, &authority, (&files.0, &files.1))
}

/// The names of the hosts, and those of the own machine.
fn names(hosts: &[String]) -> Result<Vec<SanType>> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let all =
        hosts.iter().chain(own.iter().filter(|own| !hosts.is_empty() && !hosts.contains(own)));
    let name = |host: &String| match host.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => host.as_str().try_into().map(SanType::DnsName).map_err(|error| {
            Error::rejected(format!("{host:?}: expected the name of a host: {error}"))
        }),
    };
    all.map(name).collect()
}

/// Signs a certificate, and writes it with its key.
fn sign(
    params: &CertificateParams,
    key: &KeyPair,
    authority: &Issuer<'static, KeyPair>,
    (cert_file, key_file): (&Path, &Path),
) -> Result<()> {
    let signed = params.signed_by(key, authority).map_err(|error| failed(&error))?;
    // nodes take the pair when both are there
    write(key_file, &key.serialize_pem(), 0o600)?;
    write(cert_file, &signed.pem(), 0o644)
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

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("a certificate cannot be made: {error}"))
}
