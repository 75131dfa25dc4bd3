//! Groups as requested by clients: settings, starts, filters.

use antiphon_eventstore::ALL;
use antiphon_eventstore::wire;
use antiphon_eventstore::wire::persistent_subscriptions::{CreateReq, Settings, create_req};
use tonic::Status;

use super::name;
use super::persistent::PersistentService;
use crate::refusal;
use crate::store::{EventFilter, GroupRecord, place_at};

impl PersistentService {
    /// The group that a request describes.
    pub(super) fn record(&self, request: CreateReq) -> Result<GroupRecord, Status> {
        use create_req::options::What;
        let options = request.options.ok_or_else(|| refusal::malformed("options"))?;
        if options.group.is_empty() {
            return Err(refusal::malformed("group name"));
        }
        let settings = options.settings.ok_or_else(|| refusal::malformed("settings"))?;
        check(&settings)?;
        let (stream, (next, start_from), filter) = match options.what {
            Some(What::Stream(from)) => {
                let stream = name(from.stream)?;
                let start = self.stream_start(&stream, from.from);
                (stream, start, None)
            }
            Some(What::All(from)) => {
                let given = match from.filtering {
                    Some(wire::all_from::Filtering::Filter(given)) => Some(given),
                    Some(wire::all_from::Filtering::NoFilter(_)) | None => None,
                };
                if let Some(given) = given.clone() {
                    filter(given)?;
                }
                (ALL.to_owned(), self.all_start(from.from), given)
            }
            None => {
                let from = wire::stream_from::From::Revision(settings.revision_old);
                let stream = name(options.stream_old)?;
                let start = self.stream_start(&stream, Some(from));
                (stream, start, None)
            }
        };
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
    fn stream_start(&self, stream: &str, from: Option<wire::stream_from::From>) -> (u64, String) {
        use wire::stream_from::From;
        let end = || {
            let visible = self.0.store().visible(stream);
            (visible.map_or(0, |visible| visible.last + 1), "-1".to_owned())
        };
        match from {
            Some(From::Revision(u64::MAX) | From::End(_)) | None => end(),
            Some(From::Revision(revision)) => (revision, revision.to_string()),
            Some(From::Start(_)) => (0, "0".to_owned()),
        }
    }

    fn all_start(&self, from: Option<wire::all_from::From>) -> (u64, String) {
        use wire::all_from::From;
        match from {
            Some(From::Position(at)) => {
                (place_at(at.commit), format!("C:{}/P:{}", at.commit, at.prepare))
            }
            Some(From::Start(_)) => (0, "C:0/P:0".to_owned()),
            Some(From::End(_)) | None => (self.0.store().len() as u64, "C:-1/P:-1".to_owned()),
        }
    }
}

/// Parses a filter of the wire.
pub(crate) fn filter(given: wire::Filter) -> Result<EventFilter, Status> {
    use wire::filter::Subject;
    let (on_type, expression) = match given.subject {
        Some(Subject::Stream(expression)) => (false, expression),
        Some(Subject::EventType(expression)) => (true, expression),
        None => return Err(refusal::malformed("filter")),
    };
    EventFilter::parse(on_type, &expression.regex, expression.prefix)
        .map_err(|why| refusal::invalid(&format!("the filter's expression cannot be read: {why}")))
}

/// Refuses the same settings as the real server.
fn check(settings: &Settings) -> Result<(), Status> {
    let positive = [
        ("read batch size", settings.read_batch_size),
        ("history buffer size", settings.history_buffer_size),
    ];
    if let Some((name, value)) = positive.iter().find(|(_, value)| *value <= 0) {
        return Err(refusal::invalid(&format!("{name}: expected more than zero, actual {value}")));
    }
    if settings.history_buffer_size <= settings.read_batch_size {
        return Err(refusal::invalid(
            "history buffer size: expected more than the read batch size",
        ));
    }
    Ok(())
}
