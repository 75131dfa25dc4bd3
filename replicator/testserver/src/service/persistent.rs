//! Persistent subscriptions: the management of groups, and their consumers.

use std::sync::Arc;

use antiphon_base::task;
use antiphon_eventstore::ALL;
use antiphon_eventstore::wire;
use antiphon_eventstore::wire::persistent_subscriptions::persistent_subscriptions_server::PersistentSubscriptions;
use antiphon_eventstore::wire::persistent_subscriptions::{
    CreateReq, DeleteReq, GetInfoReq, GetInfoResp, ListReq, ListResp, ReadReq, ReadResp,
    ReplayParkedReq, delete_req, get_info_req, list_req, read_req, read_resp, replay_parked_req,
};
use futures::stream;
use tokio::sync::{mpsc, oneshot};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::group_info::info;
use super::group_record::record;
use super::request::{Answers, answers, name, required, wants_text};
use crate::group::{Answer, Command, Consumer};
use crate::node::Node;
use crate::refusal;
use crate::store::{GroupKey, GroupRecord};

pub(crate) struct PersistentService(pub(crate) Arc<Node>);

/// The stream, or `$all`, that a request names.
macro_rules! source {
    ($what:path, $given:expr) => {{
        use $what as What;
        match required($given, "stream or all")? {
            What::Stream(stream) => name(Some(stream))?,
            What::All(_) => ALL.to_owned(),
        }
    }};
}

/// Number of messages beyond a consumer's buffer that its connection can hold, for redeliveries
/// after a timeout.
const SPARE: usize = 256;

#[tonic::async_trait]
impl PersistentSubscriptions for PersistentService {
    type ReadStream = Answers<ReadResp>;

    async fn create(&self, request: Request<CreateReq>) -> Result<Response<wire::Empty>, Status> {
        self.0.admit(&request).await?;
        let record = record(self.0.store().log(), request.into_inner())?;
        let key = record.key();
        if self.0.store().group(&key).is_some() {
            return Err(refusal::group_exists(&key.0, &key.1));
        }
        self.store(record.clone())?;
        self.0.start_group(record);
        Ok(Response::new(wire::Empty {}))
    }

    async fn update(&self, request: Request<CreateReq>) -> Result<Response<wire::Empty>, Status> {
        self.0.admit(&request).await?;
        let mut request = request.into_inner();
        if let Some(settings) = request.options.as_mut().and_then(|told| told.settings.as_mut()) {
            // the protocol has only the number of the strategy here
            settings.consumer_strategy.clear();
        }
        let mut record = record(self.0.store().log(), request)?;
        let key = record.key();
        self.known(&key)?;
        self.0.drop_group(&key).await;
        let before = self.known(&key)?;
        record.filter = before.filter;
        if before.checkpointed {
            (record.next, record.checkpointed) = (before.next, true);
        }
        self.store(record.clone())?;
        self.0.start_group(record);
        Ok(Response::new(wire::Empty {}))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<wire::Empty>, Status> {
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
        let stream = source!(delete_req::options::What, options.what);
        let key = (stream, options.group);
        let mut record = self.known(&key)?;
        self.0.drop_group(&key).await;
        record.deleted = true;
        let removed = self.0.store().remove_parked(&record);
        removed.map_err(|error| refusal::failed(&error))?;
        self.store(record)?;
        Ok(Response::new(wire::Empty {}))
    }

    async fn read(
        &self,
        request: Request<Streaming<ReadReq>>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        self.0.admit(&request).await?;
        let user = self.0.user();
        let connection_name = connection_name(request.metadata());
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.content);
        let Some(read_req::Content::Options(options)) = first else {
            return Err(refusal::malformed("options"));
        };
        let stream = source!(read_req::options::What, options.what);
        self.0.allow(&stream)?;
        let key = (stream, options.group);
        let group = self.0.group(&key).ok_or_else(|| refusal::no_group(&key.0, &key.1))?;
        let buffer = usize::try_from(options.buffer_size).unwrap_or_default().max(1);
        let (sender, receiver) = mpsc::channel(buffer.saturating_add(SPARE));
        let id = self.0.consumer();
        let confirmation =
            read_resp::Confirmation { subscription_id: format!("{}::{}", key.0, key.1) };
        let confirmation =
            ReadResp { content: Some(read_resp::Content::Confirmation(confirmation)) };
        let confirmed = sender.send(Ok(confirmation)).await.is_ok();
        let text_ids = wants_text(options.uuid.as_ref());
        let consumer = Consumer { messages: sender, text_ids, user, connection_name };
        let (admitted, is_admitted) = oneshot::channel();
        let connect = Command::Connect { id, buffer, consumer, admitted };
        if !confirmed || group.send(connect).await.is_err() {
            return Err(refusal::dropped(&key.0, &key.1));
        }
        // from here on a caller that is gone is disconnected
        task::spawn("consumer of a group", take_answers(id, requests, group));
        match is_admitted.await {
            Ok(true) => Ok(Response::new(self.messages(receiver))),
            Ok(false) => Err(refusal::too_many_consumers(&key.0, &key.1)),
            Err(_) => Err(refusal::dropped(&key.0, &key.1)),
        }
    }

    async fn get_info(
        &self,
        request: Request<GetInfoReq>,
    ) -> Result<Response<GetInfoResp>, Status> {
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
        let stream = source!(get_info_req::options::What, options.what);
        let record = self.known(&(stream, options.group))?;
        Ok(Response::new(GetInfoResp { info: Some(info(&self.0, &record).await) }))
    }

    async fn replay_parked(
        &self,
        request: Request<ReplayParkedReq>,
    ) -> Result<Response<wire::Empty>, Status> {
        use replay_parked_req::options::Limit;
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
        let stream = source!(replay_parked_req::options::What, options.what);
        let key = (stream, options.group);
        let before = match options.limit {
            Some(Limit::StopAt(before)) => Some(u64::try_from(before).map_err(|_| {
                let reason = "Cannot stop replaying parked message at a negative version.";
                refusal::group_failed(&key.0, &key.1, reason)
            })?),
            Some(Limit::NoLimit(_)) | None => None,
        };
        let group = self.0.group(&key).ok_or_else(|| refusal::no_group(&key.0, &key.1))?;
        let (done, replayed) = oneshot::channel();
        // a group that was dropped meanwhile replays nothing; the missing reply says so
        let _ = group.send(Command::Replay { before, done }).await;
        replayed.await.map_err(|_| refusal::dropped(&key.0, &key.1))?;
        Ok(Response::new(wire::Empty {}))
    }

    async fn list(&self, request: Request<ListReq>) -> Result<Response<ListResp>, Status> {
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
        let of_one = match required(options.what, "list option")? {
            list_req::options::What::Everything(_) => None,
            list_req::options::What::One(one) => Some(source!(list_req::source::What, one.what)),
        };
        let is_wanted =
            |record: &&GroupRecord| of_one.as_ref().is_none_or(|stream| record.stream == *stream);
        let records: Vec<GroupRecord> =
            self.0.store().groups().filter(is_wanted).cloned().collect();
        if let Some(stream) = of_one.filter(|_| records.is_empty()) {
            return Err(refusal::no_group(&stream, ""));
        }
        let mut groups = Vec::new();
        for record in records {
            groups.push(info(&self.0, &record).await);
        }
        Ok(Response::new(ListResp { groups }))
    }

    /// Drops all consumers, and restarts the groups at their checkpoints.
    async fn restart_subsystem(
        &self,
        request: Request<wire::Empty>,
    ) -> Result<Response<wire::Empty>, Status> {
        self.0.admit(&request).await?;
        let records: Vec<GroupRecord> = self.0.store().groups().cloned().collect();
        for record in &records {
            self.0.drop_group(&record.key()).await;
        }
        self.0.start_groups();
        Ok(Response::new(wire::Empty {}))
    }
}

impl PersistentService {
    /// The messages to a consumer, until its stream ends.
    fn messages(&self, receiver: mpsc::Receiver<Result<ReadResp, Status>>) -> Answers<ReadResp> {
        let state = (receiver, self.0.faults.ended());
        answers(stream::unfold(state, |(mut receiver, mut ended)| async move {
            tokio::select! {
                message = receiver.recv() => Some((message?, (receiver, ended))),
                _ = ended.changed() => None,
            }
        }))
    }

    fn known(&self, key: &GroupKey) -> Result<GroupRecord, Status> {
        let known = self.0.store().group(key).cloned();
        known.ok_or_else(|| refusal::no_group(&key.0, &key.1))
    }

    fn store(&self, record: GroupRecord) -> Result<(), Status> {
        self.0.store().store_group(record).map_err(|error| refusal::failed(&error))
    }
}

/// Takes the answers of a consumer until it disconnects.
async fn take_answers(id: u64, mut requests: Streaming<ReadReq>, group: mpsc::Sender<Command>) {
    use read_req::nack::Action;
    while let Ok(Some(request)) = requests.message().await {
        let answer = match request.content {
            Some(read_req::Content::Ack(ack)) => Answer::Done(ids(&ack.ids)),
            Some(read_req::Content::Nack(nack)) => {
                let ids = ids(&nack.ids);
                match nack.action() {
                    Action::Park => {
                        let reason = format!("Client explicitly NAK'ed message.\n{}", nack.reason);
                        Answer::Park(ids, reason)
                    }
                    // a real server has nothing for `Stop` but to take the messages as settled
                    Action::Skip | Action::Stop => Answer::Done(ids),
                    Action::Retry | Action::Unknown => Answer::Retry(ids),
                }
            }
            Some(read_req::Content::Options(_)) | None => continue,
        };
        if group.send(Command::Answer(answer)).await.is_err() {
            return;
        }
    }
    // a group that is gone has no consumers left
    let _ = group.send(Command::Disconnect { id }).await;
}

/// The name that a client gives its connection.
fn connection_name(headers: &MetadataMap) -> String {
    let name = headers.get("connection-name").and_then(|name| name.to_str().ok());
    name.unwrap_or("<unknown>").to_owned()
}

fn ids(ids: &[wire::Uuid]) -> Vec<Uuid> {
    ids.iter().filter_map(wire::Uuid::id).collect()
}
