//! The entity types of an application: declared before the configuration is read, started with the
//! node.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::apart::apart;
use super::config::Config;
use super::entity::{Asked, HttpEntity};
use super::host::Setup;
use crate::prelude::*;

type Preparing<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Prepared>>> + Send + 'a>>;
type Starting<'a> = Pin<Box<dyn Future<Output = Result<Started>> + Send + 'a>>;

/// An entity type with its provider, which can start on a node.
pub(super) trait Prepared: Send + Sync {
    fn name(&self) -> &str;
    /// Starts the type on a node.
    fn start<'a>(self: Box<Self>, node: &'a Node) -> Starting<'a>;
}

/// An entity type that runs.
pub(super) struct Started {
    pub(super) asked: Arc<dyn Asked>,
    /// The type of its behaviour, and its sharding.
    pub(super) behaviour: TypeId,
    pub(super) sharding: Arc<dyn Any + Send + Sync>,
}

/// An entity type of an application, before it runs.
pub(super) trait EntityType: Send + Sync {
    fn name(&self) -> &str;
    /// The type of its behaviour.
    fn behaviour(&self) -> (TypeId, &'static str);
    /// Checks what is known before the node starts.
    ///
    /// # Errors
    /// `Rejected` when the provider has settings of its own.
    fn check(&self) -> Result<()>;
    /// Makes the provider, and checks it, before a node joins.
    fn prepare<'a>(&'a self, config: &'a Config, setup: &'a Setup) -> Preparing<'a>;
}

/// Prepares all entity types of an application.
///
/// # Errors
/// The error of the application's function; `Rejected` when its provider is of another type, or has
/// settings of its own.
pub(super) async fn prepare(
    types: &[Box<dyn EntityType>],
    config: &Config,
    setup: &Setup,
) -> Result<Vec<Box<dyn Prepared>>> {
    let mut prepared = Vec::new();
    for entity_type in types {
        prepared.push(entity_type.prepare(config, setup).await?);
    }
    Ok(prepared)
}

type Provide<E> = Arc<dyn Fn(&Setup) -> Result<ReplicatedEntityProvider<E>> + Send + Sync>;

/// An entity type with the function that makes its provider.
pub(super) struct Declared<E: HttpEntity> {
    pub(super) name: String,
    pub(super) provide: Provide<E>,
    /// The settings of a provider that is there before the node.
    pub(super) settings: Option<ShardingSettings>,
}

impl<E> EntityType for Declared<E>
where
    E: HttpEntity,
    E::Command: Serialize + DeserializeOwned,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn behaviour(&self) -> (TypeId, &'static str) {
        (TypeId::of::<E>(), type_name::<E>())
    }

    fn check(&self) -> Result<()> {
        self.settings.as_ref().map_or(Ok(()), |settings| own_settings(&self.name, settings))
    }

    fn prepare<'a>(&'a self, config: &'a Config, setup: &'a Setup) -> Preparing<'a> {
        Box::pin(async move {
            let (provide, setup) = (self.provide.clone(), setup.clone());
            let what = "the provider of an entity type";
            let made = move || provide(&setup);
            let provider = apart(what, &self.name, config.start_timeout, made).await?;
            if provider.entity_type() != self.name {
                return Err(Error::rejected(format!(
                    "entity type `{}`: expected a provider of this type, actual of `{}`",
                    self.name,
                    provider.entity_type()
                )));
            }
            own_settings(&self.name, provider.settings())?;
            let provider = config.with_replicas(provider)?;
            let provider = provider.with_settings(config.sharding.of(&self.name));
            let prepared: Box<dyn Prepared> = Box::new(Ready(provider));
            Ok(prepared)
        })
    }
}

/// A provider that was checked.
struct Ready<E: HttpEntity>(ReplicatedEntityProvider<E>);

impl<E> Prepared for Ready<E>
where
    E: HttpEntity,
    E::Command: Serialize + DeserializeOwned,
{
    fn name(&self) -> &str {
        self.0.entity_type()
    }

    fn start<'a>(self: Box<Self>, node: &'a Node) -> Starting<'a> {
        Box::pin(async move {
            let sharding = Arc::new(ReplicatedSharding::init(node, self.0).await?);
            Ok(Started { asked: sharding.clone(), behaviour: TypeId::of::<E>(), sharding })
        })
    }
}

/// The shardings of the types that run, by the type of their behaviour.
pub(super) type Shardings = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// Refuses settings of a provider, which the configuration would replace.
fn own_settings(name: &str, settings: &ShardingSettings) -> Result<()> {
    if *settings == ShardingSettings::default() {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "entity type `{name}`: expected a provider without settings of its own (`with_settings`, `with_commands_from`, ..): set them in the table `[sharding.types.{name}]` of the configuration"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_provider_are_refused_with_the_table_that_has_them() {
        own_settings("cart", &ShardingSettings::default()).unwrap();
        let other = ShardingSettings { event_publishing: false, ..ShardingSettings::default() };
        let message = own_settings("cart", &other).unwrap_err().to_string();
        assert!(message.contains("`cart`"), "{message}");
        assert!(message.contains("`[sharding.types.cart]`"), "{message}");
    }
}
