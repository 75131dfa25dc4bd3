//! All rules of a configuration.

use std::time::Duration;

use crate::base::bounds;
use crate::prelude::*;
use crate::runtime::check_listen;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Config;
use super::within::within;

impl Config {
    /// Checks every value, and how the values fit each other.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        filter(&self.log)?;
        self.log_repeats.validate().map_err(|error| within("log_repeats", &error))?;
        bounds::duration("start_timeout", self.start_timeout, Duration::ZERO..=bounds::YEAR)?;
        bounds::duration("rejoin_after", self.rejoin_after, Duration::ZERO..=bounds::YEAR)?;
        self.http.validate().map_err(|error| within("http", &error))?;
        self.node.validate()?;
        self.links.validate()?;
        self.links.validate_with(&self.node.gate)?;
        self.sharding.all.validate()?;
        #[cfg(feature = "actors")]
        self.actors.validate().map_err(|error| within("actors", &error))?;
        self.clone().complete()?;
        self.check_ports()?;
        self.check_places()?;
        self.check_replicas()
    }

    /// Checks the addresses, files and folders too; creates and changes none.
    ///
    /// # Errors
    /// As [`Self::validate`]; `Unavailable` or `Corrupt` when a file cannot be inspected.
    pub fn check_files(&self) -> Result<()> {
        self.validate()?;
        check_listen("http_bind", self.http_bind)?;
        self.http.check_protection(self.http_bind)?;
        self.http.check_files()?;
        self.embedded(self.http_bind.to_string())?.validate()
    }

    fn check_ports(&self) -> Result<()> {
        let (bind, http_bind) = (self.bind, self.http_bind);
        let is_same_host = bind.ip() == http_bind.ip()
            || bind.ip().is_unspecified()
            || http_bind.ip().is_unspecified();
        if bind.port() != 0 && bind.port() == http_bind.port() && is_same_host {
            return Err(Error::rejected(format!(
                "`http_bind`: expected another port than that of `bind` ({bind}), actual {http_bind}"
            )));
        }
        Ok(())
    }

    fn check_places(&self) -> Result<()> {
        let places = self.peers.iter().map(|peer| &peer.place).chain([&self.node.place]);
        let mut places = places.map(ReplicaId::new).collect::<Result<Vec<_>>>()?;
        places.sort();
        match places.windows(2).find(|two| two[0] == two[1]) {
            None => Ok(()),
            Some(two) if two[0].as_str() == self.node.place => Err(Error::rejected(format!(
                "`peers`: expected other places than the own one (`node.place`), actual {:?}",
                self.node.place
            ))),
            Some(two) => Err(Error::rejected(format!(
                "`peers`: expected each place once, actual {:?} twice",
                two[0].as_str()
            ))),
        }
    }
}

/// The filter of the log. A single word must be a level: `tracing` takes any other single word for
/// the name of a target, and then logs everything of that target and nothing else.
///
/// # Errors
/// `Rejected`, naming the setting `log`, its value and what was expected.
pub fn filter(text: &str) -> Result<EnvFilter> {
    let refused = |expected: &str, actual: &str| {
        Error::rejected(format!("`log`: expected {expected}, actual {actual:?}"))
    };
    for directive in text.split(',').map(str::trim) {
        let is_target = directive.contains(['=', '[']);
        if directive.is_empty() || !is_target && directive.parse::<LevelFilter>().is_err() {
            let expected = "`error`, `warn`, `info`, `debug`, `trace`, `off` or `TARGET=LEVEL`";
            return Err(refused(expected, directive));
        }
    }
    // values of fields are no regular expressions: a short one may take minutes to be read
    EnvFilter::builder().with_regex(false).parse(text).map_err(|error| {
        let refused = refused("levels as in `RUST_LOG`, such as \"info,antiphon=debug\"", text);
        refused.with_source(error)
    })
}
