//! The sources of a configuration.

use std::sync::Arc;

use antiphon_eventstore as es;

use super::clients::source_client;
use super::journals::source_journal;
use crate::Result;
use crate::config::{Config, ServerFilterBy, StartFrom, SubscriptionKind, SubscriptionSettings};
use crate::source::{
    CatchUpSource, GroupSource, JournalSource, JournalSourceSettings, Source, Start, What,
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
    Ok(match subscription.kind {
        SubscriptionKind::Group => Arc::new(GroupSource::new(
            source_client(config)?,
            stream,
            &subscription.group_name,
            config.settings.buffer_size,
            subscription.create_group.then(|| group_settings(&subscription.group)),
        )),
        SubscriptionKind::Stream | SubscriptionKind::Category => {
            Arc::new(CatchUpSource::new(source_client(config)?, What::Stream(stream), start))
        }
        SubscriptionKind::All => {
            let what = What::All(server_filter(config, subscription));
            Arc::new(CatchUpSource::new(source_client(config)?, what, start))
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
        // metadata and deletes have types with `$`, so only a filter by stream lets them pass
        (None, _) if filter.exclude_system && !config.settings.system_events => {
            let copies = config.settings.copy_stream_metadata || config.settings.copy_deletes;
            if copies {
                es::Filter::StreamRegex(r"^(\$\$)?[^$].*".to_owned())
            } else {
                es::Filter::TypeRegex(r"^[^$].*".to_owned())
            }
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
