//! The entity types of a run, whatever their behaviours are.

use std::any::{Any, TypeId, type_name};
use std::pin::Pin;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::Node;
use antiphon_sharding::{ReplicatedEntityProvider, ReplicatedSharding, ShardId, ShardingSettings};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::harness::form::Form;
use crate::harness::user_code::{Starter, UserCode};

type BoxedKind = Pin<Box<dyn Future<Output = Result<Arc<dyn Running>>> + Send>>;

/// An entity type that is to be started on each node.
pub(crate) trait Kind: Send + Sync {
    fn entity_type(&self) -> &str;
    fn behaviour(&self) -> (TypeId, &'static str);
    fn start(&self, node: Node) -> BoxedKind;
    fn as_any(&self) -> &dyn Any;
}

/// An entity type on one node.
pub(crate) trait Running: Send + Sync {
    fn entity_type(&self) -> &str;
    fn hosted(&self) -> Vec<ShardId>;
    fn is_ready(&self) -> bool;
    fn as_any(&self) -> &dyn Any;
}

/// A provider whose replicas are known.
pub(crate) struct Provided<E: EventSourced>(pub(crate) ReplicatedEntityProvider<E>);

struct Sharded<E: EventSourced> {
    entity_type: String,
    sharding: ReplicatedSharding<E>,
}

impl<E: EventSourced> Kind for Provided<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn entity_type(&self) -> &str {
        self.0.entity_type()
    }

    fn behaviour(&self) -> (TypeId, &'static str) {
        (TypeId::of::<E>(), type_name::<E>())
    }

    fn start(&self, node: Node) -> BoxedKind {
        let provider = self.0.clone();
        Box::pin(async move {
            let entity_type = provider.entity_type().to_owned();
            let sharding = ReplicatedSharding::init(&node, provider).await?;
            Ok(Arc::new(Sharded { entity_type, sharding }) as Arc<dyn Running>)
        })
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}

impl<E: EventSourced> Running for Sharded<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn entity_type(&self) -> &str {
        &self.entity_type
    }

    fn hosted(&self) -> Vec<ShardId> {
        self.sharding.hosted_shards()
    }

    fn is_ready(&self) -> bool {
        self.sharding.is_ready()
    }

    fn as_any(&self) -> &dyn Any {
        &self.sharding
    }
}

/// The entity types of a run.
#[derive(Clone, Default)]
pub(crate) struct Kinds {
    all: Vec<Arc<dyn Kind>>,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl Kinds {
    pub(crate) fn add(&mut self, kind: Arc<dyn Kind>) {
        self.all.push(kind);
    }

    pub(crate) fn all(&self) -> &[Arc<dyn Kind>] {
        &self.all
    }

    /// The provider of a behaviour.
    pub(crate) fn provider<E: EventSourced>(&self) -> Result<&ReplicatedEntityProvider<E>> {
        let mut providers = self.all.iter().map(|kind| kind.as_any().downcast_ref());
        providers.find_map(|provider| provider).ok_or_else(|| {
            let known: Vec<&str> = self.all.iter().map(|kind| kind.behaviour().1).collect();
            Error::rejected(format!(
                "behaviour `{}`: expected one of {known:?}; add its provider with `entity`",
                type_name::<E>()
            ))
        })
    }

    /// The first error of a start that no other attempt mends.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal.lock().take()
    }
}

/// The sharding of a behaviour among the types on a node.
pub(crate) fn sharding<E: EventSourced>(
    started: &[Arc<dyn Running>],
) -> Option<ReplicatedSharding<E>> {
    started.iter().find_map(|running| running.as_any().downcast_ref().cloned())
}

/// The provider with a replica at each place, unless it says its replicas itself.
pub(crate) fn placed<E: EventSourced>(
    provider: ReplicatedEntityProvider<E>,
    places: &[String],
) -> Result<ReplicatedEntityProvider<E>> {
    let mut replicas = provider.replicas().to_vec();
    if replicas.is_empty() {
        replicas = places.iter().map(ReplicaId::new).collect::<Result<_>>()?;
    }
    for replica in &replicas {
        let place = provider.replica_place(replica).unwrap_or(replica.as_str());
        if !places.iter().any(|known| known == place) {
            return Err(Error::rejected(format!(
                "replica `{replica}` of `{}`: expected a place of the cluster ({places:?}), actual {place:?}: add it with `place`, or leave the replicas out of the provider",
                provider.entity_type()
            )));
        }
    }
    Ok(provider.with_replicas(replicas))
}

impl UserCode for Kinds {
    type Started = Vec<Arc<dyn Running>>;

    fn starter(&self, _: &Form, _: &ShardingSettings, _: bool) -> Starter<Self::Started> {
        let all = self.all.clone();
        Box::new(move |node| {
            Box::pin(async move {
                let mut started = Vec::new();
                for kind in all {
                    started.push(kind.start(node.clone()).await?);
                }
                Ok(started)
            })
        })
    }

    fn hosted(started: &Self::Started) -> Vec<(&str, ShardId)> {
        let of = |kind: &'_ Arc<dyn Running>| kind.hosted();
        let named = started.iter().flat_map(|kind| {
            of(kind).into_iter().map(|shard| (kind.entity_type(), shard)).collect::<Vec<_>>()
        });
        named.collect()
    }

    fn refused(&self, _node: &str, error: Error) {
        self.refusal.lock().get_or_insert(error);
    }
}
