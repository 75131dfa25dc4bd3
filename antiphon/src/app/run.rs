//! The life of one node, from its configuration to its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;

use crate::base::time::{Clock, SystemClock};
use crate::prelude::*;
use crate::runtime::ShutdownPhase;
use crate::runtime::admin::{AdminListener, AdminServer};
use crate::sharding::{ContinuitySection, ShardingSection};
use crate::{Embedded, OpenJournal, Repeats};
use axum::Router;
use serde_json::json;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::apart::apart;
use super::builder::{MakeRoutes, Parts};
use super::host::{Host, Setup};
use super::types::{self, Prepared, Shardings};
use crate::app::config::{self, Config, ConfigFile};
use crate::app::descriptors;
use crate::app::http;
use crate::app::journal::{self, JournalSection};
use crate::app::output;

/// Runs a node until a signal ends it, or until it is out and does not begin again. Returns whether
/// the node ended in order.
///
/// # Errors
/// The errors of the configuration and of [`Embedded::start`].
pub(super) async fn run(file: &ConfigFile, parts: &Parts, exit_with_stdin: bool) -> Result<bool> {
    let mut config = file.load_checked()?;
    let repeats = Repeats::new(config.log_repeats.clone());
    // a line that the standard error does not take, because its disk is full, is left out: the
    // layer would complain about it by `eprintln!`, which panics in the task that logged
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(has_colours(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR")))
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let log = tracing_subscriber::registry()
        .with(config::filter(&config.log)?)
        .with(repeats.limit(lines));
    let _ = log.try_init();
    descriptors::prepare(&mut config);
    crate::base::task::spawn("repeated lines", repeats.flush_always());
    // a signal during the start ends the node too
    let ended = end(exit_with_stdin)?;
    tokio::pin!(ended);
    let Some(started) = started(&config, parts, &mut ended).await? else { return Ok(true) };
    let (node, http, journal) = started;
    tokio::select! {
        biased;
        () = &mut ended => {}
        (reason, uptime) = out(&node, config.rejoin_after) => {
            if may_begin_again(&config, &node, journal, uptime).await {
                // a signal that came during the pause counts
                if tokio::time::timeout(SIGNAL_WAIT, &mut ended).await.is_err() {
                    tracing::warn!(%reason, ?uptime, "this node is out: it begins again as a new incarnation");
                    let error = begin_again();
                    tracing::error!(%error, "this program cannot be run again");
                }
            }
            output::complain(format_args!("error: this node is out: {reason}"));
            return Ok(false);
        }
    }
    drop(journal);
    tracing::info!("leaving: not ready any more, then draining");
    // the HTTP interface goes on until the shards are gone: other nodes answer through it
    let left = node.leave().await;
    tokio::select! {
        () = http.stop() => {}
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    left.map(|()| true)
}

/// Time in which a signal that waits is noticed before a node begins again.
const SIGNAL_WAIT: Duration = Duration::from_millis(100);

/// The longest time between two looks whether the node is live.
const LIVE_INTERVAL: Duration = Duration::from_millis(100);

/// Waits until the node is out. Returns the reason, and how long the node was live before: a pause
/// does not count. `needed` is the time that decides whether the node begins again: the looks are
/// frequent enough to measure it.
async fn out(node: &Node, needed: Duration) -> (String, Duration) {
    let interval = match needed {
        // the time decides nothing
        Duration::ZERO => LIVE_INTERVAL,
        needed => (needed / 4).clamp(Duration::from_millis(1), LIVE_INTERVAL),
    };
    let since = SystemClock.now();
    let mut live_at = since;
    let fenced = node.fenced();
    tokio::pin!(fenced);
    loop {
        if node.is_live() {
            live_at = SystemClock.now();
        }
        if let Ok(reason) = tokio::time::timeout(interval, &mut fenced).await {
            return (reason, live_at - since);
        }
    }
}

/// Returns whether a node that is out may begin again: its place found it dead after it had been
/// live for long enough, and its journal is still the one that it opened. A lost journal must not
/// be opened anew, because an empty one would take its place.
async fn may_begin_again(
    config: &Config,
    node: &Node,
    journal: OpenJournal,
    uptime: Duration,
) -> bool {
    if config.rejoin_after.is_zero() || uptime < config.rejoin_after || !node.was_declared_dead() {
        return false;
    }
    let checked = tokio::task::spawn_blocking(move || journal.check()).await;
    matches!(checked, Ok(Ok(())))
}

/// Replaces the program in this process by a new run of it, with the same arguments. Nothing of
/// the old incarnation is left: the system closes its files and sockets and ends its threads, as at
/// a kill. Returns only when that failed, for example because the file of the program was replaced
/// by an upgrade.
fn begin_again() -> std::io::Error {
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

/// Returns whether the log has colours: their codes make a file hard to read and to search.
/// A `NO_COLOR` without a text counts as not set (<https://no-color.org>).
fn has_colours(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|text| text.is_empty())
}

/// A node that has started, and what ends with it.
type Started = (Node, AdminServer, OpenJournal);

/// Starts a node, unless `ended` comes first: a node that has joined by then leaves, as others
/// would wait for a member that is gone without a word.
async fn started(
    config: &Config,
    parts: &Parts,
    ended: impl Future<Output = ()>,
) -> Result<Option<Started>> {
    let joined = OnceLock::new();
    tokio::select! {
        started = start(config, parts, &joined) => return started.map(Some),
        () = ended => {}
    }
    match joined.get() {
        None => Ok(None),
        Some(node) => {
            tracing::info!("a node that was starting leaves");
            Node::leave(node).await.map(|()| None)
        }
    }
}

/// Starts a node. `joined` gets it as soon as it is a member.
async fn start(config: &Config, parts: &Parts, joined: &OnceLock<Node>) -> Result<Started> {
    let listener = AdminServer::bind(config.http_bind, config.http(), parts.routes.is_some())?;
    // a mistake of the application is found before anybody sees the node
    let setup = Setup::new(config)?;
    let types = types::prepare(&parts.types, config, &setup).await?;
    let http_address = config.advertised(listener.local_address());
    // from here on, the process that started this node can ask over HTTP why the start waits
    output::tell(&json!({ "ready": false, "http": http_address }).to_string());
    let settings = config.embedded(http_address.clone())?;
    let embedded = Embedded::start_telling(settings, |reason| listener.waits(reason)).await?;
    let node = embedded.node.clone();
    let _ = joined.set(node.clone());
    #[cfg(feature = "actors")]
    if let Err(error) = crate::cluster::Actors::start(&node, config.actors.clone()) {
        // a process with several nodes, such as a test, has the actors of one of them
        tracing::warn!(%error, "this node has no plain actors");
    }
    let served = serve((setup, types), &embedded, config, parts, listener).await;
    let server = match served {
        Ok(server) => server,
        Err(error) => {
            // others would wait for a member that is gone without a word; each phase has its limit
            if let Err(late) = node.leave().await {
                tracing::warn!(error = %late, "a node that cannot start has not left in order");
            }
            return Err(error);
        }
    };
    journal::count(&node, &embedded.journal, &embedded.peers);
    let (stores, journal) = (embedded.journal.clone(), embedded.journal);
    node.on_shutdown(
        ShutdownPhase::CloseLinks,
        "stores",
        Box::new(move || Box::pin(async move { drop(stores) })),
    );
    let ready = json!({
        "ready": true,
        "node": node.id().to_string(),
        "address": embedded.address.to_string(),
        "http": http_address,
    });
    output::tell(&ready.to_string());
    Ok((node, server, journal))
}

/// Starts the entities of a node that has joined, and serves them and the application's routes.
async fn serve(
    (setup, types): (Setup, Vec<Box<dyn Prepared>>),
    embedded: &Embedded,
    config: &Config,
    parts: &Parts,
    listener: AdminListener,
) -> Result<AdminServer> {
    let node = embedded.node.clone();
    let (host, entities) = start_entities(&node, setup, config, types).await?;
    let application = match &parts.routes {
        Some(make) => Some(routes_of(make.clone(), host, config.start_timeout).await?),
        None => None,
    };
    let sections: Vec<Arc<dyn crate::runtime::admin::ClusterSection>> = vec![
        Arc::new(ShardingSection::new(&node)),
        Arc::new(ContinuitySection::new(&node)),
        Arc::new(JournalSection::new(embedded.journal.clone(), embedded.peers.clone())),
    ];
    AdminServer::start(listener, node, sections, entities, application).await
}

/// Starts the entity types. Returns the node of the application, and the routes of the entities.
async fn start_entities(
    node: &Node,
    setup: Setup,
    config: &Config,
    types: Vec<Box<dyn Prepared>>,
) -> Result<(Host, Router)> {
    let (mut asked, mut shardings) = (BTreeMap::new(), Shardings::new());
    for entity_type in types {
        let name = entity_type.name().to_owned();
        let started = entity_type.start(node).await?;
        asked.insert(name, started.asked);
        shardings.insert(started.behaviour, started.sharding);
    }
    Ok((
        Host { node: node.clone(), setup, shardings: Arc::new(shardings) },
        http::entities(asked, config.http().trace_commands),
    ))
}

/// The routes of the application.
async fn routes_of(make: MakeRoutes, host: Host, limit: Duration) -> Result<Router> {
    let node = host.node().id().to_string();
    apart("the routes of the application", &node, limit, move || make(&host)).await
}

/// Completes at SIGTERM, at ctrl-c, or at the end of the standard input.
fn end(exit_with_stdin: bool) -> Result<impl Future<Output = ()>> {
    let cannot = |error: std::io::Error| Error::bug(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    Ok(async move {
        let stdin = async {
            if !exit_with_stdin {
                return std::future::pending().await;
            }
            let mut bytes = [0; 64];
            while tokio::io::stdin().read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colours_unless_its_user_wants_none() {
        assert!(has_colours(true, None) && has_colours(true, Some("".into())));
        assert!(!has_colours(true, Some("1".into())));
        assert!(!has_colours(false, None), "a file");
    }

    /// The configuration of a node that says goodbye at once, and the folder of its journal.
    fn configuration() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("a.db");
        let text = format!(
            "journal = {journal:?}\nbind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'\n[node.shutdown_timeouts]\nannounce = '0s'"
        );
        (folder, text)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_whose_start_fails_after_it_has_joined_leaves() {
        let (_folder, text) = configuration();
        let seen: Arc<OnceLock<Node>> = Arc::default();
        let noted = seen.clone();
        let app = crate::app::app("test").routes(move |host: &Host| {
            let _ = noted.set(host.node().clone());
            Err::<Router, Error>(Error::rejected("no routes today"))
        });
        let (parts, _) = app.into_parts();
        let config = config::parse(&text, [], &parts.known).expect("a configuration");
        let Err(error) = start(&config, &parts, &OnceLock::new()).await else {
            panic!("it starts")
        };
        assert!(error.to_string().contains("no routes today"), "{error}");
        let node = seen.get().expect("the node had joined");
        assert!(node.is_leaving() && !node.is_live(), "the node has left");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_provider_of_entity_with_is_refused_before_the_node_joins() {
        let (_folder, text) = configuration();
        let own = ShardingSettings { event_publishing: false, ..ShardingSettings::default() };
        let app = crate::app::app("test").entity_with("x", move |_| {
            let provider =
                ReplicatedEntityProvider::at_each_place("x", |_: &ReplicationId| Nothing);
            Ok(provider.with_settings(own.clone()))
        });
        let (parts, _) = app.into_parts();
        let config = config::parse(&text, [], &parts.known).expect("a configuration");
        let joined = OnceLock::new();
        let Err(error) = start(&config, &parts, &joined).await else { panic!("it starts") };
        assert!(error.to_string().contains("`[sharding.types.x]`"), "{error}");
        assert!(joined.get().is_none(), "nobody has seen the node");
    }

    struct Nothing;

    impl EventSourced for Nothing {
        type Command = u8;
        type Event = u8;
        type State = u8;
        fn on_command(&self, _: &CommandContext, _: &u8, _: u8) -> Effect<Self> {
            Effect::none()
        }
        fn on_event(&self, _: &EventContext, _: &mut u8, _: &u8) {}
    }

    impl crate::app::HttpEntity for Nothing {}

    /// As at SIGTERM: the select of `run` must be polled while code of the application blocks.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_signal_while_a_function_of_the_application_never_returns_makes_the_node_leave() {
        let (_folder, text) = configuration();
        let seen: Arc<OnceLock<Node>> = Arc::default();
        let noted = seen.clone();
        let (begun, mut begins) = tokio::sync::mpsc::channel(1);
        let (back, waits) = std::sync::mpsc::channel::<()>();
        let waits = parking_lot::Mutex::new(waits);
        let app = crate::app::app("test").routes(move |host: &Host| {
            let _ = noted.set(host.node().clone());
            let _ = begun.try_send(());
            let _ = waits.lock().recv();
            Router::new()
        });
        let (parts, _) = app.into_parts();
        let config = config::parse(&text, [], &parts.known).expect("a configuration");
        let signal = async { assert_eq!(begins.recv().await, Some(())) };
        let started = started(&config, &parts, signal).await.expect("the node leaves in order");
        assert!(started.is_none(), "the signal came first");
        let node = seen.get().expect("the node had joined");
        assert!(node.is_leaving() && !node.is_live(), "the node has left");
        drop(back);
    }
}
