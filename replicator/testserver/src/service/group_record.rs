//! Groups as requested by clients: settings, starts, filters.

use antiphon_eventstore::ALL;
use antiphon_eventstore::wire;
use antiphon_eventstore::wire::persistent_subscriptions::{CreateReq, Settings, create_req};
use tonic::Status;

use super::request::{name, required};
use crate::group::{is_strategy, strategy_name};
use crate::refusal;
use crate::store::{EventFilter, GroupRecord, Log, place_at};

/// The reason why `$all` is refused as the name of a stream.
const WRONG_ALL: &str = "Persistent subscriptions to $all need the option for $all";

/// The group that a request describes.
pub(super) fn record(log: &Log, request: CreateReq) -> Result<GroupRecord, Status> {
    use create_req::options::What;
    let options = required(request.options, "options")?;
    if options.group.is_empty() {
        return Err(refusal::malformed("group name"));
    }
    let settings = required(options.settings, "settings")?;
    let (stream, (next, start_from), filter) = match options.what {
        Some(What::Stream(from)) => {
            let stream = name(from.stream)?;
            let start = match stream.as_str() {
                ALL => Default::default(),
                _ => stream_start(log, &stream, from.from),
            };
            (stream, start, None)
        }
        Some(What::All(from)) => {
            let filter = match from.filtering {
                Some(wire::all_from::Filtering::Filter(given)) => Some(given),
                Some(wire::all_from::Filtering::NoFilter(_)) | None => None,
            };
            let parsed = filter.clone().map(EventFilter::from_wire).transpose();
            parsed.map_err(|why| refusal::invalid(&why))?;
            (ALL.to_owned(), all_start(log, from.from), filter)
        }
        None => {
            let from = wire::stream_from::From::Revision(settings.revision_old);
            let stream = name(options.stream_old)?;
            let start = stream_start(log, &stream, Some(from));
            (stream, start, None)
        }
    };
    let refused = |reason: &str| refusal::group_failed(&stream, &options.group, reason);
    check(&settings).map_err(|reason| refused(&reason))?;
    if stream == ALL && start_from.is_empty() {
        return Err(refused(WRONG_ALL));
    }
    Ok(GroupRecord {
        stream,
        group: options.group,
        settings: Some(settings),
        next,
        filter,
        deleted: false,
        checkpointed: false,
        start_from,
    })
}

/// The start of a group, as a position and as shown in its description.
fn stream_start(log: &Log, stream: &str, from: Option<wire::stream_from::From>) -> (u64, String) {
    use wire::stream_from::From;
    match from {
        Some(From::Revision(u64::MAX) | From::End(_)) | None => {
            (log.end_of(stream), "-1".to_owned())
        }
        Some(From::Revision(revision)) => (revision, revision.to_string()),
        Some(From::Start(_)) => (0, "0".to_owned()),
    }
}

fn all_start(log: &Log, from: Option<wire::all_from::From>) -> (u64, String) {
    use wire::all_from::From;
    match from {
        Some(From::Position(at)) => {
            (place_at(at.commit), format!("C:{}/P:{}", at.commit, at.prepare))
        }
        Some(From::Start(_)) => (0, "C:0/P:0".to_owned()),
        Some(From::End(_)) | None => (log.len() as u64, "C:-1/P:-1".to_owned()),
    }
}

/// Returns the reason why the server refuses settings.
fn check(settings: &Settings) -> Result<(), String> {
    let strategy = strategy_name(settings);
    if !is_strategy(&strategy) {
        return Err(format!("Consumer strategy {strategy} does not exist."));
    }
    let positive = [
        ("read batch size", settings.read_batch_size),
        ("history buffer size", settings.history_buffer_size),
    ];
    if let Some((name, value)) = positive.iter().find(|(_, value)| *value <= 0) {
        return Err(format!("{name}: expected more than zero, actual {value}"));
    }
    if settings.history_buffer_size <= settings.read_batch_size {
        return Err("history buffer size: expected more than the read batch size".to_owned());
    }
    Ok(())
}
