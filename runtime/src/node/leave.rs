//! The graceful end of a node, phase by phase.
//!
//! A node that is declared dead meanwhile, or cannot reach its store, has nothing to hand over any
//! more: it skips the steps that would only wait. Its row says sealed only after its writer was
//! sealed; when the seal did not succeed, the others declare the node dead and seal it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_base::task;
use tokio::sync::oneshot;

use super::continuity;
use super::driver::{Control, Input};
use super::handle::Node;
use super::liveness::{Liveness, NODE_LEFT};
use super::shutdown::ShutdownPhase;
use crate::{Error, Result};

/// Waits between two tries to seal the own writer.
const SEAL_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

impl Node {
    /// Leaves the cluster: announces it first ([`Self::is_leaving`]), works on for
    /// `shutdown_timeouts.announce`, and then runs all phases in order.
    ///
    /// Cancellation: the node stays in the phase that it has reached, and shows that it leaves;
    /// call [`Self::leave`] again, or [`Self::crash`].
    ///
    /// # Errors
    /// `Timeout`, naming the tasks that did not end in time. The node has left nevertheless.
    pub async fn leave(&self) -> Result<()> {
        let timeouts = self.settings().shutdown_timeouts.clone();
        self.inner.leaving.store(true, Ordering::Relaxed);
        announce(self, timeouts.announce).await;
        let _ = self.inner.control.send(Control::Input(Box::new(Input::Leaving))).await;
        let mut leaving = Leaving::default();
        for (phase, limit) in [
            (ShutdownPhase::StopAccepting, timeouts.stop_accepting),
            (ShutdownPhase::DrainShards, timeouts.drain_shards),
            (ShutdownPhase::LeaveTable, timeouts.leave_table),
            (ShutdownPhase::ReleaseLease, timeouts.release_lease),
            (ShutdownPhase::CloseLinks, timeouts.close_links),
        ] {
            tracing::info!(node = %self.id(), ?phase, "leaving");
            leaving.late.extend(registered(self, phase, limit).await);
            leaving.end_phase(self, phase, limit).await;
        }
        if !leaving.is_sealed {
            leaving.look_for_death(self);
        }
        self.inner.liveness.fence(NODE_LEFT);
        self.end();
        leaving.outcome(self)
    }
}

/// The end of a node, as far as it has come.
#[derive(Debug, Default)]
struct Leaving {
    /// The tasks and phases that did not end in time.
    late: Vec<String>,
    /// The reason why the node was out before it had left.
    declared_dead: Option<String>,
    /// True when the own writer is sealed.
    is_sealed: bool,
}

impl Leaving {
    fn look_for_death(&mut self, node: &Node) {
        if self.declared_dead.is_none() {
            self.declared_dead = fenced(node);
        }
    }

    /// Does the node's own part of a phase, after the tasks that were registered for it.
    async fn end_phase(&mut self, node: &Node, phase: ShutdownPhase, limit: Duration) {
        if phase <= ShutdownPhase::ReleaseLease {
            self.look_for_death(node);
        }
        let in_time = match phase {
            ShutdownPhase::StopAccepting | ShutdownPhase::DrainShards => true,
            ShutdownPhase::LeaveTable => {
                if self.declared_dead.is_none() {
                    self.is_sealed = tokio::time::timeout(limit, seal(node)).await.is_ok();
                    if self.is_sealed {
                        close_session(node).await;
                    }
                }
                true
            }
            ShutdownPhase::ReleaseLease if self.is_sealed => {
                // after the last row the other nodes close their links: their requests are answered
                // before
                let limit_of_quiet = node.settings().shutdown_timeouts.close_links;
                let _ = tokio::time::timeout(limit_of_quiet, node.gate().quiesce()).await;
                tokio::time::timeout(limit, say_goodbye(node)).await.is_ok()
            }
            ShutdownPhase::ReleaseLease => true,
            ShutdownPhase::CloseLinks => {
                // requests of other nodes are answered first, also those that were passed on to new
                // homes
                let _ = tokio::time::timeout(limit, node.gate().quiesce()).await;
                node.gate().close();
                true
            }
        };
        if !in_time {
            self.late.push(format!("{phase:?}"));
        }
    }

    fn outcome(self, node: &Node) -> Result<()> {
        if let Some(reason) = self.declared_dead {
            return Err(Error::fenced(format!(
                "the node was out before it had left, and others take over what it hosted: {reason}"
            )));
        }
        if !self.is_sealed {
            let timeouts = &node.settings().shutdown_timeouts;
            return Err(Error::unavailable(format!(
                "left without sealing the writer of `{}`: the store took nothing within {:?} \
                 (`shutdown_timeouts.leave_table`): the other nodes declare it dead and seal it, {:?} (`renew_timeout`) after its last renewal",
                node.id(),
                timeouts.leave_table,
                node.settings().renew_timeout
            )));
        }
        if self.late.is_empty() {
            return Ok(());
        }
        let late = self.late.join(", ");
        Err(Error::timeout(format!("left, but these did not end in time: {late}")))
    }
}

/// Announces that the node leaves, and works on meanwhile.
async fn announce(node: &Node, wanted: Option<Duration>) {
    let announce = wanted.unwrap_or_else(|| announcement(node.http_address()));
    if !announce.is_zero() {
        tracing::info!(node = %node.id(), ?announce, "leaving: announced, and working on meanwhile");
        tokio::select! {
            () = tokio::time::sleep(announce) => {}
            _ = node.fenced() => {}
        }
    }
}

fn fenced(node: &Node) -> Option<String> {
    match &*node.inner.liveness.subscribe().borrow() {
        Liveness::Fenced(reason) => Some(reason.to_string()),
        Liveness::Live | Liveness::Suspended => None,
    }
}

/// Waits until the node may not answer any more; then nothing can be handed over.
async fn no_longer_live(node: &Node) {
    let mut liveness = node.inner.liveness.subscribe();
    // the cell lives as long as the node
    let _ = liveness.wait_for(|now| *now != Liveness::Live).await;
}

/// Default time for which the leaving is announced: long enough for a load balancer that asks
/// `/health/ready` every second. Zero when the HTTP interface listens on a loopback address, or is
/// missing: then nobody asks.
fn announcement(http_address: Option<&str>) -> Duration {
    const ANNOUNCEMENT: Duration = Duration::from_secs(2);
    let host = http_address.and_then(|address| address.rsplit_once(':')).map(|(host, _)| host);
    let Some(host) = host else { return Duration::ZERO };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if is_here { Duration::ZERO } else { ANNOUNCEMENT }
}

/// Runs the tasks of a phase at the same time. Returns the names of the tasks that did not end in
/// time.
async fn registered(node: &Node, phase: ShutdownPhase, limit: Duration) -> Vec<String> {
    let tasks = {
        let mut all = node.inner.shutdown.lock();
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *all).into_iter().partition(|(of, _, _)| *of == phase);
        *all = later;
        now
    };
    let until = node.clock().now() + limit;
    let running: Vec<_> = tasks
        .into_iter()
        .map(|(_, name, shutdown)| (name, task::spawn("shutdown", shutdown())))
        .collect();
    let mut late = Vec::new();
    for (name, mut running) in running {
        let is_hopeless = async {
            match phase {
                ShutdownPhase::DrainShards => no_longer_live(node).await,
                ShutdownPhase::StopAccepting
                | ShutdownPhase::LeaveTable
                | ShutdownPhase::ReleaseLease
                | ShutdownPhase::CloseLinks => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = tokio::time::timeout_at(until, &mut running) => ended.is_ok(),
            () = is_hopeless => false,
        };
        if !ended {
            running.abort();
            late.push(format!("{name} ({phase:?})"));
        }
    }
    late
}

async fn seal(node: &Node) {
    let mut failures = 0_u32;
    while let Err(error) = node.stores().journal.seal(node.writer()).await {
        failures += 1;
        let delay = SEAL_BACKOFF.delay(failures, Jitter::NONE);
        tracing::warn!(%error, ?delay, "the own writer cannot be sealed, trying again");
        tokio::time::sleep(delay).await;
    }
}

/// Leaves the session of the place. An error leaves the session open, which is safe.
async fn close_session(node: &Node) {
    let store = &*node.stores().coordination;
    if let Err(error) = continuity::leave(node.id(), node.settings(), store).await {
        tracing::warn!(%error, "the session of the place stays open: the next start asks the other places");
    }
}

/// Writes the last rows of this node: nothing that it began can take effect any more.
async fn say_goodbye(node: &Node) {
    ask(node, Control::Release).await;
    ask(node, Control::End).await;
}

async fn ask(node: &Node, control: impl FnOnce(oneshot::Sender<()>) -> Control) {
    let (done, is_done) = oneshot::channel();
    if node.inner.control.send(control(done)).await.is_ok() {
        let _ = is_done.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_announced_where_a_load_balancer_may_ask() {
        for (address, is_announced) in [
            (None, false),
            (Some("127.0.0.1:8080"), false),
            (Some("[::1]:8080"), false),
            (Some("localhost:8080"), false),
            (Some("10.0.0.7:8080"), true),
            (Some("[fd00::1]:8080"), true),
            (Some("node-1.example:8080"), true),
        ] {
            assert_eq!(!announcement(address).is_zero(), is_announced, "{address:?}");
        }
    }
}
