//! The checks that need this machine and this build: files, folders and cargo features. Nothing is
//! connected to.

use std::path::Path;

use antiphon_eventstore::ConnectionString;
use antiphon_persistence::store::Role;

use super::clients::{destination_client, source_client};
use super::sources::source_of;
use crate::config::problems::Problems;
use crate::config::{Config, SinkKind, SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::transform::Hook;
use crate::{Error, Result};

/// Adds everything that would keep the configuration from starting here.
pub(crate) async fn check(config: &Config, problems: &mut Problems) {
    features(config, problems);
    #[cfg(feature = "kinesis")]
    if config.sink() == SinkKind::Kinesis {
        add(problems, crate::kinesis::check_profile(&config.aws).await);
    }
    clients(config, problems);
    folders(config, problems);
    let settings = &config.settings;
    // the rules of both are checked without them, except those of their libraries
    if problems.is_empty() {
        add(problems, Shaping::new(settings));
        add(problems, Hook::new(&settings.transform, &settings.retry));
    }
    for (index, one) in settings.subscriptions.iter().enumerate() {
        if one.kind == SubscriptionKind::Journal {
            source_journal(
                config,
                one,
                &format!("Settings:Subscriptions:{index}:Journal"),
                problems,
            )
            .await;
        }
    }
    if config.sink() == SinkKind::Journal {
        let path = settings.journal_path.as_deref();
        if settings.journal.is_valid("Settings:Journal", path) {
            add(problems, settings.journal.check_files("Settings:Journal", path, Role::Owner));
        }
    }
}

fn add<T>(problems: &mut Problems, outcome: Result<T>) {
    outcome.err().into_iter().for_each(|error: Error| problems.push(error.to_string()));
}

/// Names the settings that need a part that this program was built without.
fn features(config: &Config, problems: &mut Problems) {
    if config.sink() == SinkKind::Kinesis && !cfg!(feature = "kinesis") {
        let chosen = match config.settings.sink {
            Some(_) => "Settings:Sink",
            None => "Kinesis:StreamName",
        };
        problems.push(format!("`{chosen}`: {}", super::sinks::WITHOUT_KINESIS));
    }
}

/// Checks the certificates that valid connection strings name.
fn clients(config: &Config, problems: &mut Problems) {
    let settings = &config.settings;
    let is_valid = |text: &str| ConnectionString::parse(text).is_ok();
    if is_valid(settings.source.expose()) {
        add(problems, source_client(config));
    }
    if is_valid(settings.destination.expose()) {
        add(problems, destination_client(config));
    }
}

/// Checks that folders are folders, and that those that are not created are there.
fn folders(config: &Config, problems: &mut Problems) {
    let settings = &config.settings;
    for (key, path) in [
        ("Settings:ParkDirectory", &settings.retry.park_directory),
        ("Settings:Checkpoint:Directory", &settings.checkpoint.directory),
    ] {
        let path = Path::new(path);
        // the nearest folder above that exists is where the missing ones are created
        let above = path.ancestors().find(|one| one.as_os_str().is_empty() || one.exists());
        if above.is_some_and(|one| !one.as_os_str().is_empty() && !one.is_dir()) {
            problems.expected(
                key,
                &path.display().to_string(),
                "a folder, or a path where one can be created",
            );
        }
    }
    let mut files = Vec::new();
    if config.sink() == SinkKind::Ndjson {
        let path = settings.ndjson_path.as_deref().filter(|path| *path != "-");
        files.push(("Settings:NdjsonPath".to_owned(), path));
    }
    if config.sink() == SinkKind::Journal {
        files.push(("Settings:JournalPath".to_owned(), settings.journal_path.as_deref()));
    }
    for (index, one) in settings.subscriptions.iter().enumerate() {
        let key = format!("Settings:Subscriptions:{index}:JournalPath");
        files.push((key, one.journal_path.as_deref()));
    }
    for (key, path) in files.into_iter().filter_map(|(key, path)| Some((key, path?))) {
        let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            problems.expected(&key, path, "a file in a folder that exists");
        }
    }
    let profiles = config.aws.profiles_location.as_deref();
    if let Some(path) =
        profiles.filter(|path| config.sink() == SinkKind::Kinesis && !Path::new(path).is_file())
    {
        problems.expected("AWS:ProfilesLocation", path, "a file that exists");
    }
}

async fn source_journal(
    config: &Config,
    one: &SubscriptionSettings,
    key: &str,
    problems: &mut Problems,
) {
    let path = one.journal_path.as_deref();
    if !one.journal.is_valid(key, path) {
        return;
    }
    let files = one.journal.check_files(key, path, Role::Reader);
    let is_readable = files.is_ok();
    add(problems, files);
    if is_readable {
        add(problems, source_of(config, one).await);
    }
}
