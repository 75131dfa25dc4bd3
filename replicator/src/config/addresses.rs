//! Rules for the two connection strings.

use antiphon_eventstore::ConnectionString;

use super::problems::Problems;
use super::unknown::nearest_word;
use super::{CheckpointKind, Config, SinkKind, SubscriptionKind, SubscriptionSettings};

const SOURCE: &str = "Settings:SourceEventStoreConnectionString";
const DESTINATION: &str = "Settings:DestinationEventStoreConnectionString";

/// Checks both connection strings, as far as they are used.
pub(super) fn connections(config: &Config, problems: &mut Problems) {
    let settings = &config.settings;
    let both = [
        (SOURCE, &settings.source, uses_source(config)),
        (DESTINATION, &settings.destination, uses_destination(config)),
    ];
    for (key, text, is_used) in both {
        if is_used {
            let example = "a connection string such as `esdb://admin:changeit@host:2113?tls=false`";
            problems.required(key, text.expose(), example);
        }
        if is_used && !text.is_empty() {
            let refused = ConnectionString::parse(text.expose()).err();
            refused.into_iter().for_each(|error| problems.push(format!("`{key}`: {error}")));
        }
    }
}

/// Warns of parameters without effect, and of a string that is wrong and not used.
pub(super) fn advice(config: &Config) -> Vec<String> {
    let settings = &config.settings;
    let both = [
        (SOURCE, &settings.source, uses_source(config)),
        (DESTINATION, &settings.destination, uses_destination(config)),
    ];
    let mut advice = Vec::new();
    for (key, text, is_used) in both.into_iter().filter(|(_, text, _)| !text.is_empty()) {
        match ConnectionString::parse(text.expose()) {
            Ok(connection) => {
                advice.extend(unknown_parameters(&format!("`{key}`"), &connection));
            }
            Err(error) if !is_used => {
                advice.push(format!("`{key}`: not used here, and wrong: {error}"));
            }
            // a problem, not a warning
            Err(_) => {}
        }
    }
    advice
}

/// A warning for each parameter of a connection string that has no effect; `place` names the
/// string.
pub(crate) fn unknown_parameters(place: &str, connection: &ConnectionString) -> Vec<String> {
    let warning = |name: &String| {
        let near = nearest_word(name, &ConnectionString::PARAMETERS);
        let hint =
            near.map_or(String::new(), |near| format!("; the nearest known one is `{near}`"));
        format!(
            "{place}: the parameter `{name}` of the connection string is unknown, it has no effect{hint}"
        )
    };
    connection.unknown_parameters.iter().map(warning).collect()
}

fn uses_source(config: &Config) -> bool {
    config.settings.subscriptions.iter().any(|one| one.kind != SubscriptionKind::Journal)
}

fn uses_destination(config: &Config) -> bool {
    let settings = &config.settings;
    let has_checkpoint = |one: &SubscriptionSettings| one.kind != SubscriptionKind::Group;
    let writes = config.sink() == SinkKind::EventStore && !settings.read_only;
    let keeps = settings.checkpoint.kind == CheckpointKind::Destination
        && settings.subscriptions.iter().any(has_checkpoint);
    (writes || keeps) && !settings.dry_run
}
