//! `antiphon cert`: an authority, and certificates of nodes and of HTTP clients, for development,
//! tests and small clusters. A cluster with an authority of its own needs certificates with the
//! same names only.

mod make;
mod node;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::prelude::*;
use crate::runtime::transport::tcp::LinkTls;
use clap::Args;

pub use self::make::{make, table};
use self::make::{make_client, of_client};
pub use self::node::CertNode;
use crate::app::output::say;

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
    /// Name of a client of the HTTP interface, for which a certificate is made; may be repeated.
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// The nodes, each with its place: `node.place` and `node.name`. Behind `@` are the names and
    /// IP addresses by which clients address its HTTP interface: then the certificate is for HTTPS
    /// too, and also has the names of the own machine.
    #[arg(required_unless_present = "client", value_name = "PLACE/NAME[@HOST,HOST]")]
    nodes: Vec<String>,
}

/// Makes the certificates, replacing those that are there already, and prints their files. Returns
/// `true`.
///
/// # Errors
/// `Rejected`, naming the argument or the file.
pub fn run(arguments: &CertArguments) -> Result<bool> {
    let CertArguments { dir, cluster, days, client, nodes } = arguments;
    let nodes = nodes.iter().map(|node| CertNode::parse(node)).collect::<Result<Vec<_>>>()?;
    let clients = client.iter().map(|name| of_client(name)).collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    let all = nodes.iter().map(|node| &*node.name).chain(clients.iter().copied());
    if let Some(name) = all.into_iter().find(|name| !names.insert(*name)) {
        return Err(Error::rejected(format!(
            "{name:?}: expected names that are unique in the cluster, actual twice"
        )));
    }
    for (node, tls) in nodes.iter().zip(make(dir, cluster, *days, &nodes)?) {
        let CertNode { place, name, hosts } = node;
        say!("{place}/{name}: valid for {days} days; in its configuration:")?;
        say!("{}", tables(hosts, &tls))?;
    }
    for name in clients {
        make_client(dir, cluster, *days, name)?;
        say!("client {name}: valid for {days} days; its rights, for `http.tokens_file`:")?;
        say!("  antiphon token --name {name} --certificate {name} --rights read,entities")?;
    }
    let key = dir.join("ca.key");
    say!(
        "whoever has {} can make nodes of this cluster: keep it away from the nodes",
        key.display()
    )?;
    Ok(true)
}

/// The tables of a configuration that use a certificate. A node answers only to names that it
/// knows, so the names of the certificate are in them.
fn tables(hosts: &[String], tls: &LinkTls) -> String {
    let LinkTls { ca_file, cert_file, key_file } = tls;
    let files =
        format!("  ca_file = {ca_file:?}\n  cert_file = {cert_file:?}\n  key_file = {key_file:?}");
    let mut text = format!("  [links.tls]\n{files}");
    if hosts.is_empty() {
        return text;
    }
    let names: Vec<&String> = hosts.iter().filter(|host| host.parse::<IpAddr>().is_err()).collect();
    if !names.is_empty() {
        text.push_str(&format!("\n  [http]\n  hosts = {names:?}"));
    }
    text + "\n  [http.tls]\n" + &files
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use crate::runtime::admin::{HttpSettings, HttpTls};
    use crate::runtime::transport::tcp::TcpSettings;

    use super::*;

    fn arguments(dir: &Path, nodes: &[&str]) -> CertArguments {
        CertArguments {
            dir: dir.to_owned(),
            cluster: "shop".into(),
            days: 30,
            client: Vec::new(),
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
    fn a_certificate_with_hosts_is_for_links_and_for_https_and_a_client_gets_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let clients = vec!["ops".to_owned()];
        let nodes = ["DC A/a-1@a-1.example,10.0.0.7"];
        run(&CertArguments { client: clients, ..arguments(dir, &nodes) }).unwrap();
        settings(dir, "a-1").check_certificates("a-1").unwrap();
        let tls = |name: &str| HttpTls {
            cert_file: dir.join(format!("{name}.pem")),
            key_file: dir.join(format!("{name}.key")),
            ca_file: None,
        };
        let http = |name: &str| HttpSettings { tls: Some(tls(name)), ..HttpSettings::default() };
        http("a-1").check_files().unwrap();
        let error = settings(dir, "ops").check_certificates("ops").unwrap_err().to_string();
        assert!(error.contains("cert_file"), "a client is no node: {error}");
        for client in ["ca", "", "a b", "../x"] {
            let arguments =
                CertArguments { client: vec![client.to_owned()], ..arguments(dir, &[]) };
            assert!(run(&arguments).unwrap_err().to_string().contains("`--client`"));
        }
        let both = CertArguments { client: vec!["a".into()], ..arguments(dir, &["A/a"]) };
        assert!(run(&both).unwrap_err().to_string().contains("unique in the cluster"));
    }

    #[test]
    fn the_printed_tables_have_the_names_by_which_clients_address_the_node() {
        let tls = settings(Path::new("certs"), "a-1").tls.unwrap();
        let read = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            toml::from_str::<toml::Table>(&tables(&hosts, &tls)).unwrap()
        };
        assert!(!read(&[]).contains_key("http"));
        for (hosts, names) in [
            (&["10.0.0.7"][..], &[][..]),
            (&["a-1.example", "10.0.0.7", "b"], &["a-1.example", "b"]),
        ] {
            let table = read(hosts);
            let http: HttpSettings = table["http"].clone().try_into().unwrap();
            let tokens_file = Some("tokens.toml".into());
            HttpSettings { tokens_file, ..http.clone() }.validate().unwrap();
            assert_eq!(http.hosts, names);
            assert_eq!(http.tls.unwrap().cert_file, Path::new("certs/a-1.pem"));
            assert_eq!(table["links"]["tls"]["ca_file"].as_str(), Some("certs/ca.pem"));
        }
    }

    #[test]
    fn wrong_names_and_half_an_authority_are_refused_and_make_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for node in
            ["a-1", "/a", "A/", "A/b/c", "A/ca", "A/..", "x|y/a", "A/a@", "A/a@x,", "A/a@x:/"]
        {
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
