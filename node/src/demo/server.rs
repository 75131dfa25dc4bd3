//! The journals of the demo, and the server that the demo starts and stops for them itself.

use std::path::Path;

use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::store::{LocalServer, Registry};
use antiphon::prelude::*;

use super::arguments::DemoArguments;
use antiphon::app::cluster::LocalJournals;

/// The journals; the drop of this value stops a server that it started.
pub(super) struct Server {
    pub(super) journals: LocalJournals,
    _server: Option<LocalServer>,
}

impl Server {
    /// Starts a server, if the kind of store has one and none was named.
    pub(super) async fn start(
        arguments: &DemoArguments,
        stores: Registry,
        data_dir: &Path,
    ) -> Result<Self> {
        let name = arguments.journal.clone().or_else(|| Some(stores.names().next()?.to_owned()));
        let mut journals = LocalJournals {
            kind: name.unwrap_or_default(),
            run: SystemClock.wall().as_micros().to_string(),
            stores,
            ..LocalJournals::default()
        };
        let kind = journals.stores.find(&journals.kind)?;
        if !arguments.contact_points.is_empty() {
            let points = arguments.contact_points.clone();
            journals.options.insert("contact_points".to_owned(), points.into());
            // a kind of store without servers refuses them here, before anything is started
            let checked = kind.local(data_dir, "A", &journals.run, &journals.options);
            checked.map_err(|error| Error::rejected(format!("`--contact-points`: {error}")))?;
            return Ok(Self { journals, _server: None });
        }
        if kind.has_server() {
            say!("starting a server for the journals; the first time its libraries are fetched")?;
        }
        let started = kind.start_server(data_dir).await.map_err(|error| {
            let hint = "name one that runs with `--contact-points`, or leave `--journal` out";
            Error::new(error.kind(), format!("{error}\n{hint}"))
        })?;
        if let Some(server) = &started {
            journals.options = server.options.clone();
        }
        Ok(Self { journals, _server: started })
    }
}
