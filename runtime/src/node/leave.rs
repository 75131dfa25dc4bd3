//! The graceful end of a node, phase by phase.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::driver::Control;
use super::{Node, ShutdownPhase};
use crate::{Error, Result, task};

pub(super) async fn leave(node: &Node) -> Result<()> {
    let timeouts = node.settings().shutdown_timeouts.clone();
    node.inner.leaving.store(true, Ordering::Relaxed);
    let announce = timeouts.announce.unwrap_or_else(|| announcement(node.http_address()));
    if !announce.is_zero() {
        tracing::info!(node = %node.id(), ?announce, "leaving: announced, and working on meanwhile");
        tokio::select! {
            () = tokio::time::sleep(announce) => {}
            _ = node.fenced() => {}
        }
    }
    let _ = node.inner.control.send(Control::Leaving).await;
    let mut late = Vec::new();
    for (phase, limit) in [
        (ShutdownPhase::StopAccepting, timeouts.stop_accepting),
        (ShutdownPhase::DrainShards, timeouts.drain_shards),
        (ShutdownPhase::LeaveTable, timeouts.leave_table),
        (ShutdownPhase::ReleaseLease, timeouts.release_lease),
        (ShutdownPhase::CloseLinks, timeouts.close_links),
    ] {
        tracing::info!(node = %node.id(), ?phase, "leaving");
        late.extend(registered(node, phase, limit).await);
        if tokio::time::timeout(limit, built_in(node, phase)).await.is_err() {
            late.push(format!("{phase:?}"));
        }
    }
    node.inner.liveness.fence("the node has left");
    node.end();
    if late.is_empty() {
        return Ok(());
    }
    Err(Error::timeout(format!("left, but these did not end in time: {}", late.join(", "))))
}

/// How long the leaving is announced unless told: whoever asks `/health/ready` every second has asked. On a machine of one's own, and
/// without an HTTP interface, nobody asks.
fn announcement(http_address: Option<&str>) -> Duration {
    const ANNOUNCEMENT: Duration = Duration::from_secs(2);
    let host = http_address.and_then(|address| address.rsplit_once(':')).map(|(host, _)| host);
    let Some(host) = host else { return Duration::ZERO };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if is_here { Duration::ZERO } else { ANNOUNCEMENT }
}

/// The tasks of a phase at the same time; the names of those that did not end.
async fn registered(node: &Node, phase: ShutdownPhase, limit: Duration) -> Vec<String> {
    let tasks = {
        let mut all = node.inner.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
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
    for (name, running) in running {
        let abort = running.abort_handle();
        if tokio::time::timeout_at(until, running).await.is_err() {
            abort.abort();
            late.push(format!("{name} ({phase:?})"));
        }
    }
    late
}

async fn built_in(node: &Node, phase: ShutdownPhase) {
    match phase {
        ShutdownPhase::StopAccepting | ShutdownPhase::DrainShards => {}
        ShutdownPhase::LeaveTable => {
            while let Err(error) = node.stores().journal.seal(node.writer()).await {
                tracing::warn!(%error, "the own writer cannot be sealed, trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        ShutdownPhase::ReleaseLease => {
            ask(node, Control::Release).await;
            // the last word of this node: nothing that it began can take effect any more
            ask(node, Control::End).await;
        }
        ShutdownPhase::CloseLinks => node.gate().close(),
    }
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
