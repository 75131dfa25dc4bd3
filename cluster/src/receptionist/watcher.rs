//! Brings the changes of `pg` and of the members to the directory.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use antiphon_runtime::node::ShutdownPhase;
use antiphon_runtime::{MemberState, Membership, Node};
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, Message, SupervisionEvent, pg,
};

use super::directory::Input;
use super::{Group, Inner, SCOPE};

/// Hears of every change of a group, and reads the group. Changes that come in a burst are read
/// once: they go before the message that starts the reading.
struct Watcher(Weak<Inner>);

/// Read the groups that have changed.
struct Read;

impl Message for Read {}

impl Actor for Watcher {
    type Msg = Read;
    type State = BTreeSet<Group>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Read>,
        (): Self::Arguments,
    ) -> Result<BTreeSet<Group>, ActorProcessingErr> {
        Ok(BTreeSet::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<Read>,
        _: Read,
        changed: &mut BTreeSet<Group>,
    ) -> Result<(), ActorProcessingErr> {
        match self.0.upgrade() {
            Some(inner) => std::mem::take(changed).iter().for_each(|group| inner.read_group(group)),
            None => myself.stop(None),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Read>,
        event: SupervisionEvent,
        changed: &mut BTreeSet<Group>,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ProcessGroupChanged(change) = event else { return Ok(()) };
        if let Some(group) = Group::parse(&change.get_group()) {
            if changed.is_empty() {
                myself.send_message(Read)?;
            }
            changed.insert(group);
        }
        Ok(())
    }
}

/// Starts the watcher of a node, and reads the groups that are there already.
pub(super) fn start(node: &Node, inner: &Arc<Inner>) {
    let _runtime = node.runtime().enter();
    let watcher = ActorRuntime::spawn_instant(None, Watcher(Arc::downgrade(inner)), ());
    let (watcher, _) = watcher.expect("an actor without a name has no name in use");
    pg::monitor_scope(SCOPE.to_owned(), watcher.get_cell());
    for name in pg::which_scoped_groups(&SCOPE.to_owned()) {
        if let Some(group) = Group::parse(&name) {
            inner.read_group(&group);
        }
    }
    end_with(node, inner, &watcher);
    let mut members = node.members();
    let of = Arc::downgrade(inner);
    node.spawn("receptionist members", async move {
        loop {
            let dead = dead(&members.borrow_and_update());
            let Some(inner) = of.upgrade() else { return };
            {
                let mut state = inner.state.lock();
                inner.advance(&mut state, Input::Dead(dead));
                inner.fill_room(&mut state);
            }
            drop(inner);
            if members.changed().await.is_err() {
                return;
            }
        }
    });
}

fn dead(members: &Membership) -> BTreeSet<antiphon_runtime::NodeId> {
    let dead = members.all().filter(|member| member.state == MemberState::Dead);
    dead.map(|member| member.id.clone()).collect()
}

/// A node that leaves takes its actors out of all groups first, so that the others send elsewhere
/// before anything is refused.
fn end_with(node: &Node, inner: &Arc<Inner>, watcher: &ActorRef<Read>) {
    let (of, me) = (Arc::downgrade(inner), node.id().clone());
    let leaves = of.clone();
    let leave = move || {
        if let Some(inner) = leaves.upgrade() {
            // what was registered before is in its group when the groups are read
            let _state = inner.state.lock();
            inner.is_leaving.store(true, Ordering::Release);
        }
        for name in pg::which_scoped_groups(&SCOPE.to_owned()) {
            if Group::parse(&name).is_some_and(|group| group.node == me) {
                let actors = pg::get_scoped_members(&SCOPE.to_owned(), &name);
                let own: Vec<ActorCell> =
                    actors.into_iter().filter(|actor| actor.get_id().is_local()).collect();
                pg::leave_scoped(SCOPE.to_owned(), name, own);
            }
        }
    };
    let task = Box::new(|| Box::pin(async move { leave() }) as _);
    node.on_shutdown(ShutdownPhase::StopAccepting, "receptionist", task);
    let watcher = watcher.clone();
    let close = move || {
        watcher.kill();
        if let Some(inner) = of.upgrade() {
            inner.state.lock().listings.clear();
        }
    };
    let last = close.clone();
    let task = Box::new(|| Box::pin(async move { last() }) as _);
    node.on_shutdown(ShutdownPhase::CloseLinks, "receptionist", task);
    node.on_crash("receptionist", Box::new(close));
}
