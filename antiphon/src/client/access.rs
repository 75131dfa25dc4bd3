//! The token and the certificates of a client.

use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::base::secret::Secret;
use crate::prelude::*;
use crate::runtime::admin::HttpsClient;

/// Most bytes of a file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The arguments of a command that asks nodes over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "app", derive(clap::Args))]
pub struct AccessArguments {
    /// Asks over HTTPS, and believes certificates of the authorities in this PEM file.
    #[cfg_attr(feature = "app", arg(long, value_name = "FILE"))]
    pub ca_file: Option<PathBuf>,
    /// File with the token of this client, as `antiphon token` writes it. With `--ca-file`, unless
    /// the node is on this machine: a token is never sent in clear text over a network.
    #[cfg_attr(feature = "app", arg(long, value_name = "FILE"))]
    pub token_file: Option<PathBuf>,
    /// PEM file with the certificate of this client.
    #[cfg_attr(
        feature = "app",
        arg(long, value_name = "FILE", requires_all = ["ca_file", "key_file"])
    )]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    #[cfg_attr(feature = "app", arg(long, value_name = "FILE", requires = "cert_file"))]
    pub key_file: Option<PathBuf>,
}

/// The token and the certificates of a client; by default none, for plain HTTP.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub(crate) tls: Option<HttpsClient>,
    token: Secret,
}

impl AccessArguments {
    /// Reads the files.
    ///
    /// # Errors
    /// `Rejected`, naming the argument or the file.
    pub fn read(&self) -> Result<Access> {
        let own = self.cert_file.as_deref().zip(self.key_file.as_deref());
        let tls = self.ca_file.as_deref().map(|file| HttpsClient::read(file, own)).transpose()?;
        let token = self.token_file.as_deref().map(read_token).transpose()?.unwrap_or_default();
        Ok(Access { tls, token })
    }
}

impl Access {
    /// Checks that the token, if there is one, is not sent to `host:port` in clear text.
    ///
    /// # Errors
    /// `Rejected`, naming the argument and the address.
    pub fn check(&self, address: &str) -> Result<()> {
        if self.token.is_empty() || self.tls.is_some() || is_own_machine(address) {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "`--token-file`: expected `--ca-file` too, because {address} is not on this machine and the token would be sent in clear text"
        )))
    }

    /// The header `authorization` of each request.
    pub(crate) fn authorization(&self) -> Option<String> {
        (!self.token.is_empty()).then(|| format!("Bearer {}", self.token.expose()))
    }
}

fn is_own_machine(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn read_token(file: &Path) -> Result<Secret> {
    let bad = |why: &dyn std::fmt::Display| {
        Error::rejected(format!(
            "`--token-file`: expected a token, actual {}: {why}",
            file.display()
        ))
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|error| bad(&error))?;
    opened.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(|error| bad(&error))?;
    let token = text.trim();
    let is_fit = |c: char| c.is_ascii_graphic();
    if token.is_empty() || !token.chars().all(is_fit) {
        return Err(bad(&"it has no token, or more than that"));
    }
    Ok(token.into())
}

#[cfg(all(test, feature = "app"))]
mod tests {
    use super::*;
    use crate::app::client::Client;

    #[test]
    fn a_token_is_the_only_text_of_its_file_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let arguments =
            AccessArguments { token_file: Some(file.clone()), ..AccessArguments::default() };
        assert!(arguments.read().unwrap_err().to_string().contains("`--token-file`"));
        for (text, is_taken) in [("", false), ("swordfish\n", true), ("swordfish 2", false)] {
            std::fs::write(&file, text).unwrap();
            let read = arguments.read();
            assert_eq!(read.is_ok(), is_taken, "{text:?}");
            assert!(!format!("{read:?}").contains("swordfish"), "{read:?}");
            if let Ok(access) = read {
                assert_eq!(access.authorization().unwrap(), "Bearer swordfish");
            }
        }
        assert_eq!(AccessArguments::default().read().unwrap().authorization(), None);
    }

    #[tokio::test]
    async fn a_token_is_not_sent_in_clear_text_over_a_network() {
        let access = Access { tls: None, token: "swordfish".into() };
        for (address, is_taken) in [
            ("127.0.0.1:80", true),
            ("localhost:80", true),
            ("[::1]:80", true),
            ("10.0.0.7:80", false),
            ("a-1.example:80", false),
            ("127.0.0.1.example:80", false),
            ("localhost.example:80", false),
            ("[::2]:80", false),
        ] {
            let checked = access.check(address);
            assert_eq!(checked.is_ok(), is_taken, "{address}");
            Access::default().check(address).unwrap();
            if !is_taken {
                let error = checked.unwrap_err().to_string();
                assert!(error.contains("`--ca-file`") && error.contains(address), "{error}");
                let mut client = Client::new(address).with_access(access.clone());
                let error = client.get("/cluster", &[]).await.unwrap_err();
                assert!(error.to_string().contains("`--ca-file`"), "{error}");
            }
        }
    }
}
