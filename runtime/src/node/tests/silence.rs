//! Nodes that are cut from their store, or whose store takes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::ErrorKind;
use tokio::time::sleep;

use super::store::{Way, behind};
use super::{Place, holder, until, up};
use crate::{Node, NodeSettings};

async fn start(place: &Place, name: &str) -> (Node, Arc<Way>) {
    let way = Arc::new(Way::default());
    let settings = NodeSettings { name: name.into(), place: "p".into(), ..NodeSettings::default() };
    let stores = behind(&way, place.stores.stores());
    (place.start_on(settings, 1, stores).await.unwrap(), way)
}

async fn two(place: &Place) -> [(Node, Arc<Way>); 2] {
    let a = start(place, "a").await;
    holder(&a.0, a.0.id()).await;
    let b = start(place, "b").await;
    until(&a.0, "two are up", |members| up(members) == 2).await;
    [a, b]
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_from_its_store_gives_way_although_it_answers_probes() {
    for (reads, writes) in [(true, true), (false, true)] {
        let place = Place::new();
        let [(a, way), (b, _)] = two(&place).await;
        way.cut(reads, writes);
        let began = b.clock().now();
        until(&b, "a is gone", |members| {
            assert!(!members.is_gone(a.id()) || !a.is_live(), "it stopped before that");
            members.is_gone(a.id())
        })
        .await;
        holder(&b, b.id()).await;
        let took = b.clock().now() - began;
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(b.is_live());

        way.cut(false, false);
        let reason = tokio::time::timeout(Duration::from_secs(5), a.fenced()).await.unwrap();
        assert!(reason.contains("its row was not renewed for 2s"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_shorter_than_the_time_of_a_renewal_costs_nothing() {
    let place = Place::new();
    let [(a, way), (b, _)] = two(&place).await;
    for offset in 0..10 {
        // neither its store nor its links: a frozen process looks like this from outside
        way.cut(true, true);
        place.network.isolate(a.id());
        sleep(Duration::from_millis(1450)).await;
        way.cut(false, false);
        place.network.heal_all();
        sleep(Duration::from_millis(3000 + 70 * offset)).await;
        assert!(a.is_live() && b.is_live(), "pause {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_kills_nobody_and_is_not_asked_often() {
    let place = Place::new();
    let [(a, way_a), (b, way_b)] = two(&place).await;
    let c = start(&place, "c").await;
    until(&a, "three are up", |members| up(members) == 3).await;
    // c dies, and from that moment on nobody can write
    c.0.crash();
    place.network.crash(c.0.id());
    for way in [&way_a, &way_b] {
        way.cut(false, true);
        way.calls.store(0, Ordering::Relaxed);
    }
    sleep(Duration::from_secs(11)).await;
    for way in [&way_a, &way_b] {
        // two reads a scan, two renewals a second, and tries for the dead node
        let calls = way.calls.load(Ordering::Relaxed);
        assert!(calls < 11 * 12, "{calls} calls in eleven seconds");
    }
    assert!(!a.is_live(), "it cannot renew its row");
    for way in [&way_a, &way_b] {
        way.cut(false, false);
    }
    until(&b, "c is gone", |members| members.is_gone(c.0.id())).await;
    assert!(a.is_live() && b.is_live());
}

/// The node went on to renew its row, and never read the table again.
#[tokio::test(start_paused = true)]
async fn a_node_whose_store_panics_once_reads_on_and_notices_a_later_death() {
    let place = Place::new();
    let [(a, _), (b, way)] = two(&place).await;
    way.scan_panics.store(true, Ordering::Relaxed);
    while way.scan_panics.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(10)).await;
    }
    a.crash();
    place.network.crash(a.id());
    until(&b, "a is gone", |members| members.is_gone(a.id())).await;
    assert!(b.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_without_its_store_ends_soon_and_says_who_seals_it() {
    let place = Place::new();
    let [(a, way), (b, _)] = two(&place).await;
    a.on_shutdown(
        crate::ShutdownPhase::DrainShards,
        "a drain that cannot end",
        Box::new(|| Box::pin(std::future::pending())),
    );
    way.cut(true, true);
    let began = a.clock().now();
    let error = a.leave().await.unwrap_err();
    let took = a.clock().now() - began;
    assert!(took < Duration::from_secs(8), "{took:?}");
    // the others were faster than its seal, which the store did not take
    let message = error.to_string();
    assert!(message.contains("without sealing the writer of `a@1`"), "{message}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    until(&b, "a is gone", |members| members.is_gone(a.id())).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_declared_dead_while_it_leaves_says_so() {
    let place = Place::new();
    let [(a, way), (b, _)] = two(&place).await;
    let (began, drain) = tokio::sync::oneshot::channel();
    a.on_shutdown(
        crate::ShutdownPhase::DrainShards,
        "a drain that cannot end",
        Box::new(|| {
            let _ = began.send(());
            Box::pin(std::future::pending())
        }),
    );
    let leaving = {
        let a = a.clone();
        antiphon_base::task::spawn("leave", async move { a.leave().await })
    };
    drain.await.unwrap();
    place.network.cut_both(a.id(), b.id());
    let error = leaving.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let message = error.to_string();
    assert!(message.contains("was declared dead"), "{message}");
    assert!(!message.contains("ReleaseLease"), "{message}");
    drop(way);
}
