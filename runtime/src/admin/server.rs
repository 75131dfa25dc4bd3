//! The HTTP server and its routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::answers::{starting, with_fallbacks};
use super::check::ShowsDetails;
use super::connections::accept;
use super::guard::Guard;
use super::reply::answer;
use super::{HttpSettings, protection};
use crate::certificates::now;
use crate::node::{Liveness, PlaceReach, PlaceState};
use crate::{Error, MemberState, Node, Result, cannot_listen};

/// Longest time that a stop waits for the audit log.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// A part of `/cluster`, and of the readiness.
pub trait ClusterSection: Send + Sync + 'static {
    /// The key of the part.
    fn name(&self) -> &str;

    /// The content of the part at this moment.
    fn json(&self) -> Value;

    /// Checks that the part is ready to take work.
    ///
    /// # Errors
    /// The reason why it is not ready.
    fn ready(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Warnings for an operator, although the part is ready. Shown in `/health/ready`, which stays
    /// 200.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Clone)]
struct Shared {
    node: Node,
    sections: Arc<Vec<Arc<dyn ClusterSection>>>,
    guard: Arc<Guard>,
}

/// The port of the HTTP interface. While the node starts, the health checks answer with the reason
/// of the wait.
pub struct AdminListener {
    listener: std::net::TcpListener,
    address: SocketAddr,
    reason: watch::Sender<String>,
    starting: AdminServer,
    guard: Arc<Guard>,
}

impl AdminListener {
    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the reason of the wait.
    pub fn waits(&self, reason: &str) {
        self.reason.send_replace(reason.to_owned());
    }
}

/// A running HTTP interface.
pub struct AdminServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    guard: Arc<Guard>,
}

impl AdminServer {
    /// Takes the port, so that its address is known before the node starts. Reads the files that
    /// the settings name. Inside a tokio runtime. With `has_application`, every path that is none
    /// of the node's needs the right of entities, from now on.
    ///
    /// # Errors
    /// `Rejected`, naming a setting or a file that is wrong, or `http_bind` when the address cannot
    /// be listened on, or when others reach it and the settings have no certificates and tokens.
    pub fn bind(
        address: SocketAddr,
        settings: HttpSettings,
        has_application: bool,
    ) -> Result<AdminListener> {
        let guard = Guard::open(settings, address, has_application)?;
        let cannot = |error: std::io::Error| cannot_listen("http_bind", address, &error);
        let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        // until the start reports a reason of its own
        let (reason, reasons) =
            watch::channel("opening the journal, and joining the other nodes".to_owned());
        let routes = starting(reasons, &guard);
        let starting = listener.try_clone().and_then(TcpListener::from_std).map_err(cannot)?;
        let starting = Self::serve(starting, address, routes, guard.clone());
        Ok(AdminListener { listener, address, reason, starting, guard })
    }

    /// Serves the routes of this module, those of the entities, and those of the application.
    /// The paths of the first two come first.
    ///
    /// Cancellation: the port is closed, and nothing is served.
    ///
    /// # Errors
    /// `Bug` when the listener cannot be used.
    pub async fn start(
        listener: AdminListener,
        node: Node,
        sections: Vec<Arc<dyn ClusterSection>>,
        entities: Router,
        application: Option<Router>,
    ) -> Result<Self> {
        let AdminListener { listener, address, starting, guard, .. } = listener;
        let shared = Shared { node, sections: Arc::new(sections), guard: guard.clone() };
        let routes = Router::new()
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/cluster", get(cluster))
            .with_state(shared)
            .merge(entities);
        let routes = with_fallbacks(routes, application, &guard);
        // a client that still talks to the server of the start is not waited for any longer
        let _ = tokio::time::timeout(Duration::from_secs(1), starting.stop()).await;
        let listener = TcpListener::from_std(listener)
            .map_err(|error| Error::bug("a listener cannot be used").with_source(error))?;
        Ok(Self::serve(listener, address, routes, guard))
    }

    fn serve(
        listener: TcpListener,
        address: SocketAddr,
        routes: Router,
        guard: Arc<Guard>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = task::spawn("http", accept(listener, routes, guard.clone(), stopped));
        Self { address, stop, task, guard }
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, and waits for the requests under way, and up to a second for their
    /// lines in the audit log.
    ///
    /// Cancellation: the server ends by itself when the requests under way have ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
        self.guard.flush(FLUSH_LIMIT).await;
    }
}

async fn live(
    State(shared): State<Shared>,
    Extension(ShowsDetails(details)): Extension<ShowsDetails>,
) -> Response {
    let liveness = shared.node.liveness().borrow().clone();
    match liveness {
        Liveness::Fenced(reason) => {
            let mut body = json!({ "live": false });
            if details {
                body["reason"] = (&*reason).into();
            }
            answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
        Liveness::Live | Liveness::Suspended => answer(StatusCode::OK, &json!({ "live": true })),
    }
}

async fn ready(
    State(shared): State<Shared>,
    Extension(ShowsDetails(details)): Extension<ShowsDetails>,
) -> Response {
    let mut reasons = Vec::new();
    if shared.node.is_leaving() {
        reasons.push("leaving: the node goes down; send to another one".to_owned());
    }
    if !shared.node.is_live() {
        reasons.push("the node may not answer now: it could not renew its row".to_owned());
    }
    let members = shared.node.members().borrow().clone();
    match members.get(shared.node.id()).map(|member| member.state) {
        Some(MemberState::Up) => {}
        state => reasons.push(format!("the node is not up: {state:?}")),
    }
    reasons.extend(shared.sections.iter().filter_map(|section| section.ready().err()));
    let mut warnings = warnings(&shared.node);
    warnings.extend(shared.guard.warnings(now()));
    warnings.extend(shared.sections.iter().flat_map(|section| section.warnings()));
    let (status, is_ready) = match reasons.is_empty() {
        true => (StatusCode::OK, true),
        false => (StatusCode::SERVICE_UNAVAILABLE, false),
    };
    let mut body = json!({ "ready": is_ready });
    for (key, lines) in [("reasons", reasons), ("warnings", warnings)] {
        if details && !lines.is_empty() {
            body[key] = lines.into();
        }
    }
    answer(status, &body)
}

/// Warnings for an operator about the other places, and about links inside this place.
fn warnings(node: &Node) -> Vec<String> {
    let refused = node.refused_peers().into_iter().map(|(place, why)| {
        format!(
            "nothing is taken from place {place:?}, whose journal is not the expected one: {why}"
        )
    });
    let now = node.clock().now();
    let lost = node.reach().into_iter().filter_map(|(place, reach)| {
        let seconds = (now - reach.since).as_secs();
        let why = reach.why.map(|why| format!(": {why}")).unwrap_or_default();
        match reach.state {
            PlaceState::Reached => None,
            PlaceState::Cut => Some(format!(
                "place {place:?} is cut off for {seconds} s: none of its {} nodes is linked{why}",
                reach.up
            )),
            PlaceState::Gone => {
                Some(format!("place {place:?} is gone for {seconds} s: it has no member{why}"))
            }
        }
    });
    let members = node.members().borrow().clone();
    let cut = members.unreachable().map(|(by, about)| {
        format!(
            "`{by}` cannot reach `{about}` of its own place: one of the two gives way if that stays"
        )
    });
    let now = Duration::from_micros(node.clock().wall().as_micros());
    let protection = protection::warning(node.gate().protection(), now);
    protection.into_iter().chain(refused).chain(lost).chain(cut).collect()
}

fn refused_peers(node: &Node) -> Value {
    let text = |(place, why): (Arc<str>, Arc<str>)| (place.to_string(), Value::from(&*why));
    Value::Object(node.refused_peers().into_iter().map(text).collect())
}

fn places(node: &Node) -> Value {
    let now = node.clock().now();
    let shown = |(place, reach): (Arc<str>, PlaceReach)| {
        let value = json!({
            "state": reach.state,
            "for_seconds": (now - reach.since).as_secs(),
            "up": reach.up,
            "linked": reach.linked,
            "why": reach.why.as_deref(),
        });
        (place.to_string(), value)
    };
    Value::Object(node.reach().into_iter().map(shown).collect())
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let node = &shared.node;
    protection::measure(node.metrics(), node.gate().protection());
    shared.guard.measure(node.metrics());
    (kind, node.metrics().text()).into_response()
}

async fn cluster(State(shared): State<Shared>) -> Response {
    let node = &shared.node;
    let members = node.members().borrow().clone();
    let leases = node.coordinator_lease().borrow().clone();
    let holders: serde_json::Map<String, Value> = leases
        .holders
        .iter()
        .map(|(place, lease)| {
            let holder = lease.holder.as_ref().map(ToString::to_string);
            (place.to_string(), json!({ "holder": holder, "token": lease.token.0 }))
        })
        .collect();
    let linked: Vec<String> = members
        .all()
        .filter(|member| node.gate().is_connected(&member.id))
        .map(|member| member.id.to_string())
        .collect();
    let mut body = json!({
        "node": node.id().to_string(),
        "place": node.place(),
        "live": node.is_live(),
        "leaving": node.is_leaving(),
        "refused_peers": refused_peers(node),
        "places": places(node),
        "linked": linked,
        "members": members.all().collect::<Vec<_>>(),
        "unreachable": members.unreachable().collect::<Vec<_>>(),
        "leases": holders,
    });
    for section in shared.sections.iter() {
        body[section.name()] = section.json();
    }
    answer(StatusCode::OK, &body)
}
