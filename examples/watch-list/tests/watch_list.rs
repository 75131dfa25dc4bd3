//! S24: the watch list, alone and with all replicas in one sharding.

use antiphon::LocalPlace;
use antiphon::prelude::*;
use antiphon::testkit::EntityTest;
use antiphon_watch_list::{Command, WatchList, provider};

#[test]
fn titles_come_and_go() {
    let mut list = EntityTest::new(WatchList, "watch-list|u-1|DC-A");
    assert_eq!(list.ask(|reply_to| Command::Add { title: "x".into(), reply_to }), Ok(1));
    assert_eq!(list.ask(|reply_to| Command::Add { title: "y".into(), reply_to }), Ok(2));
    assert_eq!(list.ask(|reply_to| Command::Remove { title: "x".into(), reply_to }), Ok(1));
    assert_eq!(list.ask(|reply_to| Command::Get { reply_to }), Ok(vec!["y".to_owned()]));
}

#[test]
fn a_title_that_one_replica_adds_stays_although_another_one_removes_it_at_the_same_time() {
    let add = |reply_to| Command::Add { title: "x".into(), reply_to };
    let mut list = EntityTest::replicas(WatchList, "watch-list|u-1", ["A", "B", "C"]);
    assert_eq!(list.at("A").ask(add), Ok(1));
    list.concurrently(|list| {
        assert_eq!(list.at("A").ask(add), Ok(1));
        let remove = |reply_to| Command::Remove { title: "x".into(), reply_to };
        assert_eq!(list.at("B").ask(remove), Ok(0));
    });
    let titles = list.at("C").ask(|reply_to| Command::Get { reply_to });
    assert_eq!(titles, Ok(vec!["x".to_owned()]));
}

#[tokio::test]
async fn all_replicas_in_one_sharding_converge() {
    let place = LocalPlace::new("here");
    let (one, _two) = (place.start("one").await.unwrap(), place.start("two").await.unwrap());
    let replicas = ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap()).to_vec();
    let lists = ReplicatedSharding::init(&one, provider(replicas.clone())).await.unwrap();
    let _more = ReplicatedSharding::init(&_two, provider(replicas.clone())).await.unwrap();

    let refs = lists.entity_refs_for("u-1").unwrap();
    assert_eq!(refs.keys().cloned().collect::<Vec<_>>(), replicas);
    for (replica, list) in &refs {
        let title = replica.to_string();
        list.ask(|reply_to| Command::Add { title, reply_to }).await.unwrap();
    }
    for list in refs.values() {
        let all = async {
            loop {
                let titles = list.ask(|reply_to| Command::Get { reply_to }).await.unwrap();
                if titles == ["A", "B", "C"] {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("converged");
    }
}
