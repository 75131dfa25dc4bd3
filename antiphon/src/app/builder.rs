//! The declaration of an application.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command_line;
use super::config::{Known, Section, SectionKind};
use super::entity::HttpEntity;
use super::host::{Host, Setup};
use super::tools::{OwnCommand, Tools};
use super::types::{Declared, EntityType};
use crate::persistence::store::Registry;
use crate::prelude::*;

pub(super) type MakeRoutes = Arc<dyn Fn(&Host) -> Result<Router> + Send + Sync>;

/// The routes of an application, or why there are none: a [`Router`], or a `Result` of one.
pub trait IntoRoutes {
    /// The routes.
    ///
    /// # Errors
    /// The reason why the node does not start.
    fn into_routes(self) -> Result<Router>;
}

impl IntoRoutes for Router {
    fn into_routes(self) -> Result<Router> {
        Ok(self)
    }
}

impl IntoRoutes for Result<Router> {
    fn into_routes(self) -> Result<Router> {
        self
    }
}

/// The parts of an application that a node needs.
pub(super) struct Parts {
    pub(super) known: Known,
    pub(super) types: Vec<Box<dyn EntityType>>,
    pub(super) routes: Option<MakeRoutes>,
}

/// An application: its entities, routes, settings and commands. [`app`](super::app) makes one.
#[must_use = "an application does nothing until it is run"]
pub struct App {
    pub(super) name: &'static str,
    pub(super) version: Option<&'static str>,
    pub(super) about: Option<&'static str>,
    pub(super) parts: Parts,
    pub(super) commands: Vec<OwnCommand>,
}

impl App {
    pub(super) fn new(name: &'static str) -> Self {
        let known = Known { types: Some(Vec::new()), ..Known::default() };
        let parts = Parts { known, types: Vec::new(), routes: None };
        Self { name, version: None, about: None, parts, commands: Vec::new() }
    }

    /// Sets the version that `--version` prints.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the text that `--help` begins with.
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = Some(about);
        self
    }

    /// Sets the kinds of stores that a configuration may name; the default is
    /// [`stores`](crate::stores). A store of the application's own is added by
    /// `antiphon::stores().with(ItsKind)`.
    pub fn stores(mut self, stores: Registry) -> Self {
        self.parts.known.stores = stores;
        self
    }

    /// Adds an entity type. Its settings are those of the configuration: `[sharding]`, and
    /// `[sharding.types.NAME]` for this type alone; a provider with settings of its own is refused
    /// by every command, and so is a behaviour that two types have. A provider without replicas
    /// ([`ReplicatedEntityProvider::at_each_place`]) has one at each place of the configuration.
    pub fn entity<E>(self, provider: ReplicatedEntityProvider<E>) -> Self
    where
        E: HttpEntity,
        E::Command: Serialize + DeserializeOwned,
    {
        let name = provider.entity_type().to_owned();
        let settings = Some(provider.settings().clone());
        let provide = Arc::new(move |_: &Setup| Ok(provider.clone()));
        self.declared(Declared { name, provide, settings })
    }

    /// Adds an entity type whose provider needs the settings of the application. `provide` is
    /// called once, before the node joins and by `check` too, on a thread where it may block; the
    /// start fails when it has not returned within `start_timeout`, or when its provider has
    /// settings of its own. A function that never returns does not keep a signal from ending the
    /// node.
    pub fn entity_with<E>(
        self,
        name: &str,
        provide: impl Fn(&Setup) -> Result<ReplicatedEntityProvider<E>> + Send + Sync + 'static,
    ) -> Self
    where
        E: HttpEntity,
        E::Command: Serialize + DeserializeOwned,
    {
        let provide = Arc::new(provide);
        self.declared(Declared { name: name.to_owned(), provide, settings: None })
    }

    fn declared<E>(mut self, declared: Declared<E>) -> Self
    where
        E: HttpEntity,
        E::Command: Serialize + DeserializeOwned,
    {
        self.parts.known.types.get_or_insert_default().push(declared.name.clone());
        self.parts.types.push(Box::new(declared));
        self
    }

    /// Sets the HTTP routes of the application. The paths of Antiphon (`/health/..`, `/metrics`,
    /// `/cluster`, `/entities/..`, `/node/..`) come first. With a tokens file, every other path
    /// needs the right `entities`, or follows `http.entities`, as the entities do; a route finds
    /// its [`Caller`](super::Caller) and the [`TraceContext`](super::TraceContext) of the request
    /// among its arguments.
    ///
    /// At most `http.application_requests_max` requests are under way (503 beyond), of one caller
    /// `http.application_caller_requests_max`, and a route has `http.application_timeout` until the
    /// head of its answer (504 then, and its future is dropped). It is called when the body of the
    /// request has arrived, or `http.body_bytes_max` of it. The answer may be a stream, which is
    /// broken off after `http.application_answer_time` when other requests find no turn. A
    /// WebSocket is refused (501): it needs a port of the application's own.
    ///
    /// `make` is called once, when the entities run, on a thread where it may block; the start
    /// fails when it has not returned within `start_timeout`.
    pub fn routes<R: IntoRoutes>(
        mut self,
        make: impl Fn(&Host) -> R + Send + Sync + 'static,
    ) -> Self {
        self.parts.routes = Some(Arc::new(move |host: &Host| make(host).into_routes()));
        self
    }

    /// Adds a table of the configuration with the settings of the application: `[NAME]`.
    pub fn section<S: Section>(mut self, name: &str) -> Self {
        self.parts.known.sections.push(SectionKind::new::<S>(name));
        self
    }

    /// Adds a command to the command line: `A` are its arguments, as `clap::Args` derives them. The
    /// process ends with exit code 0 when the future returns `true`. A command of Antiphon with the
    /// same name is replaced.
    pub fn command<A, F, R>(mut self, name: &'static str, run: F) -> Self
    where
        A: clap::Args + Send + 'static,
        F: FnOnce(A, Tools) -> R + Send + 'static,
        R: Future<Output = Result<bool>> + Send + 'static,
    {
        let command = A::augment_args(clap::Command::new(name));
        let run = Box::new(move |matches: &clap::ArgMatches, tools: Tools| {
            let arguments = A::from_arg_matches(matches)?;
            // the function runs inside the runtime too
            let running: super::tools::Running =
                Box::pin(async move { run(arguments, tools).await });
            Ok(running)
        });
        self.commands.push(OwnCommand { command, run });
        self
    }

    /// Runs the command that the arguments of this process name: the body of `main`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        command_line::run(self)
    }

    /// Checks the names of the declaration.
    ///
    /// # Errors
    /// `Rejected`, naming what is there twice, or has a name of Antiphon.
    pub(super) fn check(&self) -> Result<()> {
        self.check_types()?;
        let commands = || self.commands.iter().map(|own| own.command.get_name());
        twice("command", commands())?;
        if commands().any(|name| name == "help") {
            return Err(Error::rejected("command `help`: expected another name than that of clap"));
        }
        let Known { sections, stores, .. } = &self.parts.known;
        twice("section", sections.iter().map(|section| &*section.name))?;
        let taken: Vec<&str> = super::config::KEYS.iter().copied().chain(stores.names()).collect();
        let is_taken = |name: &str| taken.contains(&name) || stores.is_left_out(name);
        if let Some(section) = sections.iter().find(|section| is_taken(&section.name)) {
            return Err(Error::rejected(format!(
                "section `{}`: expected another name than the keys of a node",
                section.name
            )));
        }
        let mut seen = BTreeMap::new();
        for section in sections {
            if let Some(other) = seen.insert(section.id, &section.name) {
                return Err(Error::rejected(format!(
                    "section `{}`: expected another type of settings than that of section `{other}`",
                    section.name
                )));
            }
        }
        Ok(())
    }

    /// Checks the entity types, which the application finds by their behaviours.
    fn check_types(&self) -> Result<()> {
        twice("entity type", self.parts.types.iter().map(|declared| declared.name()))?;
        let mut seen = BTreeMap::new();
        for declared in &self.parts.types {
            let name = declared.name();
            ReplicationId::new(name, "x", ReplicaId::empty())
                .map_err(|error| Error::rejected(format!("entity type `{name}`: {error}")))?;
            declared.check()?;
            let (behaviour, shown) = declared.behaviour();
            if let Some(other) = seen.insert(behaviour, name) {
                return Err(Error::rejected(format!(
                    "entity type `{name}`: expected another behaviour than `{shown}`, which is that of `{other}`"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Arc<Parts>, Vec<OwnCommand>) {
        (Arc::new(self.parts), self.commands)
    }
}

fn twice<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::rejected(format!("{what} `{name}` is declared twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Settings {}

    impl Section for Settings {}

    #[test]
    fn a_name_that_is_taken_is_refused() {
        for (app, expected) in [
            (App::new("a").section::<Settings>("node"), "section `node`: expected another name"),
            (App::new("a").section::<Settings>("sqlite"), "section `sqlite`"),
            (
                App::new("a").section::<Settings>("shop").section::<Settings>("shop"),
                "section `shop` is declared twice",
            ),
        ] {
            let message = app.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        App::new("a").section::<Settings>("shop").check().unwrap();
    }

    #[derive(Debug, clap::Args)]
    struct NoArguments {}

    async fn done(_: NoArguments, _: Tools) -> Result<bool> {
        Ok(true)
    }

    struct Behaviour;

    impl EventSourced for Behaviour {
        type Command = i64;
        type Event = i64;
        type State = i64;
        fn on_command(&self, _: &CommandContext, _: &i64, command: i64) -> Effect<Self> {
            Effect::persist(command)
        }
        fn on_event(&self, _: &EventContext, _: &mut i64, _: &i64) {}
    }

    impl HttpEntity for Behaviour {}

    fn provider(name: &str) -> ReplicatedEntityProvider<Behaviour> {
        ReplicatedEntityProvider::at_each_place(name, |_: &ReplicationId| Behaviour)
    }

    #[test]
    fn a_declaration_that_is_ambiguous_is_refused() {
        let app = || App::new("a");
        let stores = Registry::default().without("oracle", "there is none");
        let own = ShardingSettings { event_publishing: false, ..ShardingSettings::default() };
        for (app, expected) in [
            (app().entity(provider("x")).entity(provider("y")), "`y`: expected another behaviour"),
            (app().entity(provider("x|y")), "entity type `x|y`"),
            (app().entity(provider("")), "entity type ``"),
            (app().entity(provider("x").with_settings(own)), "`[sharding.types.x]`"),
            (
                app().section::<Settings>("x").section::<Settings>("y"),
                "section `y`: expected another type of settings than that of section `x`",
            ),
            (app().stores(stores).section::<Settings>("oracle"), "section `oracle`"),
            (app().command("x", done).command("x", done), "command `x` is declared twice"),
            (app().command("help", done), "command `help`"),
        ] {
            let message = app.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        app().entity(provider("x")).command("demo", done).check().unwrap();
    }

    /// The function itself may need the runtime, not only its future.
    #[tokio::test]
    async fn the_function_of_a_command_runs_inside_the_runtime() {
        let begun = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = begun.clone();
        let own = App::new("a").command("x", move |_: NoArguments, _: Tools| {
            seen.store(true, std::sync::atomic::Ordering::Relaxed);
            async { Ok(true) }
        });
        let (parts, mut own) = own.into_parts();
        let own = own.pop().expect("a command");
        let matches = own.command.clone().get_matches_from(["x"]);
        let running = (own.run)(&matches, Tools { known: parts.known.clone() }).expect("arguments");
        assert!(!begun.load(std::sync::atomic::Ordering::Relaxed), "not before it is polled");
        assert!(running.await.expect("it ends"));
        assert!(begun.load(std::sync::atomic::Ordering::Relaxed));
    }
}
