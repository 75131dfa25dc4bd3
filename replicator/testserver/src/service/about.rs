//! The server's description of itself: the members of its cluster, and its features.

use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::gossip::{ClusterInfo, EndPoint, Member, gossip_server, member};
use antiphon_eventstore::wire::server_features::{
    SupportedMethod, SupportedMethods, server_features_server,
};
use tonic::{Request, Response, Status};

use crate::node::Node;
use crate::settings::ClusterMember;
use crate::store::now_ticks;

/// The version that the server reports, and whose behaviour it follows.
const VERSION: &str = "24.10.0";

pub(crate) struct AboutService(pub(crate) Arc<Node>);

#[tonic::async_trait]
impl gossip_server::Gossip for AboutService {
    async fn read(&self, request: Request<wire::Empty>) -> Result<Response<ClusterInfo>, Status> {
        let node = &self.0;
        node.authenticate(request.metadata())?;
        let own = ClusterMember {
            host: node.address.ip().to_string(),
            port: node.address.port(),
            is_leader: true,
            is_alive: true,
        };
        let members = match node.settings.members.as_slice() {
            [] => std::slice::from_ref(&own),
            told => told,
        };
        let members = members.iter().enumerate().map(|(index, told)| member(index, told)).collect();
        Ok(Response::new(ClusterInfo { members }))
    }
}

fn member(index: usize, told: &ClusterMember) -> Member {
    let id = uuid::Uuid::from_u64_pair(0x4000, index as u64 + 1);
    let state = if told.is_leader { member::State::Leader } else { member::State::Follower };
    Member {
        instance_id: Some(id.into()),
        time_stamp: i64::try_from(now_ticks()).unwrap_or_default(),
        state: state.into(),
        is_alive: told.is_alive,
        http_end_point: Some(EndPoint { address: told.host.clone(), port: told.port.into() }),
    }
}

#[tonic::async_trait]
impl server_features_server::ServerFeatures for AboutService {
    async fn get_supported_methods(
        &self,
        _: Request<wire::Empty>,
    ) -> Result<Response<SupportedMethods>, Status> {
        let streams = "event_store.client.streams.streams";
        let groups = "event_store.client.persistent_subscriptions.persistentsubscriptions";
        let method = |service: &str, method: &str, features: &[&str]| SupportedMethod {
            method: method.to_owned(),
            service: service.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        let kinds = ["stream", "all"];
        let mut methods = vec![
            method(streams, "read", &["position", "events"]),
            method(groups, "create", &kinds),
            method(groups, "update", &kinds),
            method(groups, "delete", &kinds),
            method(groups, "read", &kinds),
            method(groups, "getinfo", &kinds),
            method(groups, "replayparked", &kinds),
            method(groups, "list", &kinds),
            // the vendor's client asks for no description of a group without it
            method(groups, "restartsubsystem", &[]),
        ];
        let writes = ["append", "batchappend", "delete", "tombstone"];
        methods.extend(writes.map(|name| method(streams, name, &[])));
        Ok(Response::new(SupportedMethods { methods, server_version: VERSION.to_owned() }))
    }
}
