//! The sources of a configuration.

use std::sync::Arc;

use antiphon_eventstore as es;

use super::clients::source_client;
use super::journals::source_journal;
use crate::Result;
use crate::config::{
    AheadChoice, Config, ServerFilterBy, StartFrom, SubscriptionKind, SubscriptionSettings,
};
use crate::source::{
    CatchUpSource, GroupPreview, GroupSource, JournalSource, JournalSourceSettings, Source, Start,
    What, WhenAhead,
};

/// The source of a subscription.
///
/// # Errors
/// `Rejected`, naming the setting.
pub async fn source_of(
    config: &Config,
    subscription: &SubscriptionSettings,
) -> Result<Arc<dyn Source>> {
    let stream = subscription.subscribed_stream();
    let start = match subscription.start_from {
        StartFrom::Start => Start::Beginning,
        StartFrom::End => Start::End,
        StartFrom::At(revision) => Start::Revision(revision),
    };
    let when_ahead = match config.settings.checkpoint.when_ahead {
        AheadChoice::Wait if config.settings.run_once => WhenAhead::Fail,
        AheadChoice::Wait => WhenAhead::Wait,
        AheadChoice::Start => WhenAhead::Start,
        AheadChoice::End => WhenAhead::End,
        AheadChoice::Id => WhenAhead::Id,
    };
    Ok(match subscription.kind {
        SubscriptionKind::Group if config.settings.dry_run => Arc::new(GroupPreview::new(
            source_client(config)?,
            stream,
            &subscription.group_name,
            subscription.create_group.then(|| group_settings(&subscription.group)),
        )),
        SubscriptionKind::Group => Arc::new(GroupSource::new(
            source_client(config)?,
            stream,
            &subscription.group_name,
            config.settings.buffer_size,
            subscription.create_group.then(|| group_settings(&subscription.group)),
        )),
        SubscriptionKind::Stream | SubscriptionKind::Category => {
            let source = CatchUpSource::new(source_client(config)?, What::Stream(stream), start);
            Arc::new(source.when_ahead(when_ahead))
        }
        SubscriptionKind::All => {
            let what = What::All(server_filter(config, subscription));
            let source = CatchUpSource::new(source_client(config)?, what, start);
            Arc::new(source.when_ahead(when_ahead))
        }
        SubscriptionKind::Journal => {
            let settings = JournalSourceSettings {
                entity_type: subscription.journal_entity_type.clone().unwrap_or_default(),
                replica: subscription.replica()?,
                poll_interval: subscription.journal_poll_interval,
                change_count_max: subscription.journal_changes_max,
            };
            Arc::new(JournalSource::new(source_journal(subscription).await?, settings))
        }
    })
}

fn server_filter(config: &Config, subscription: &SubscriptionSettings) -> es::Filter {
    let filter = &subscription.filter;
    match (&filter.regex, filter.by) {
        (Some(regex), ServerFilterBy::Stream) => es::Filter::StreamRegex(regex.clone()),
        (Some(regex), ServerFilterBy::Type) => es::Filter::TypeRegex(regex.clone()),
        (None, ServerFilterBy::Stream) if !filter.prefixes.is_empty() => {
            es::Filter::StreamPrefix(filter.prefixes.clone())
        }
        (None, ServerFilterBy::Type) if !filter.prefixes.is_empty() => {
            es::Filter::TypePrefix(filter.prefixes.clone())
        }
        // by stream: types with `$` inside the streams of users keep the numbers of the others
        (None, _) if filter.exclude_system && !config.settings.system_events => {
            let copies = config.settings.copy_stream_metadata || config.settings.copy_deletes;
            let streams = if copies { r"^(\$\$)?[^$].*" } else { r"^[^$].*" };
            es::Filter::StreamRegex(streams.to_owned())
        }
        (None, _) => es::Filter::None,
    }
}

fn group_settings(group: &es::GroupSettings) -> es::GroupSettings {
    let from_position = match group.from {
        StartFrom::Start | StartFrom::At(_) => es::ReadFrom::Start,
        StartFrom::End => es::ReadFrom::End,
    };
    es::GroupSettings { from_position, ..group.clone() }
}
