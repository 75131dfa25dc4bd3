//! The actor of one lane: takes writes, passes them to the sink, and reports the outcomes.

use std::sync::Arc;

use antiphon_base::task;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::actor::Message;
use crate::event::Envelope;
use crate::pipeline::{Input, WriteId};
use crate::sink::Sink;

/// A write.
pub(super) struct LaneWrite {
    pub(super) write: WriteId,
    pub(super) batch: Vec<Envelope>,
}

impl ractor::Message for LaneWrite {}

pub(super) struct LaneActor;

pub(super) struct LaneState {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) subscription: ActorRef<Message>,
}

impl Actor for LaneActor {
    type Msg = LaneWrite;
    type State = LaneState;
    type Arguments = LaneState;

    async fn pre_start(
        &self,
        _myself: ActorRef<LaneWrite>,
        arguments: LaneState,
    ) -> Result<LaneState, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        _myself: ActorRef<LaneWrite>,
        message: LaneWrite,
        state: &mut LaneState,
    ) -> Result<(), ActorProcessingErr> {
        let (sink, subscription) = (state.sink.clone(), state.subscription.clone());
        let LaneWrite { write, batch } = message;
        let writing = task::spawn("write", async move { sink.write(&batch).await });
        task::spawn("written", async move {
            // a sink that panics reports no outcomes: the pipeline tries the events again
            let outcomes = writing.await.unwrap_or_default();
            let _ = subscription.cast(Message::Input(Input::Written(write, outcomes)));
        });
        Ok(())
    }
}
