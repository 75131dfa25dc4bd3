//! Broken links by effects.

use super::*;

fn cut_from(name: &str, other: &str) -> MemberRow {
    MemberRow { unreachable: vec![id(other)], ..row(name) }
}

#[test]
fn two_that_cannot_reach_each_other_are_judged_once_by_the_version_of_the_lease() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    let mut b = cut_from("b", "me");
    assert_eq!(condemned(&fixture.second(&Outcome::Applied(3), &[(5, b.clone())])), []);
    // a link grows older with the renewals of both its ends
    b.renewals += 1;
    assert_eq!(condemned(&fixture.second(&Outcome::Applied(4), &[(6, b.clone())])), []);
    b.renewals += 1;
    let effects = fixture.second(&Outcome::Applied(5), &[(7, b)]);
    assert_eq!(condemned(&effects), [(id("me"), Some(9))], "b holds the lease");
}

#[test]
fn the_word_of_one_about_a_member_that_renews_its_row_puts_nobody_out() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b")), (4, row("c"))]);
    fixture.step(Input::Suspect(id("b"), true));
    for renewals in 6..60 {
        let rows = ["b", "c"].map(|name| (renewals, MemberRow { renewals, ..row(name) }));
        let effects = fixture.second(&Outcome::Applied(3), &rows);
        assert_eq!((condemned(&effects), declared(&effects)), (vec![], vec![]), "{renewals}");
    }
    let words: Vec<_> = fixture.core.view().unreachable().cloned().collect();
    assert_eq!(words, [(id("me"), id("b"))], "it is shown");
}

/// The other node was killed while the store was away: its row says for a while that it lives.
#[test]
fn nobody_gives_way_to_a_member_that_renews_its_row_no_more() {
    let mut fixture = watching();
    fixture.core.situation.settings.bridged_cut_timeout = Duration::from_millis(1500);
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    for second in 1..=4 {
        let effects = fixture.second(&Outcome::Applied(3), &[(4, row("b"))]);
        assert_eq!(condemned(&effects), [], "after {second} s");
        assert_eq!(declared(&effects).len(), usize::from(second == 4), "after {second} s");
    }
}

/// Me and b; b holds the lease, and this node cannot reach b any more.
fn cut_from_the_holder() -> Fixture {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let lease = Verdicts { version: Some(9), holder: Some(id("b")), condemned: Vec::new() };
    fixture.step(Input::Verdicts(lease));
    fixture.step(Input::Suspect(id("b"), true));
    fixture.changed("me", Purpose::Renew, Outcome::Applied(2));
    fixture
}

/// The time without the store was counted in one jump, as soon as both ends had renewed their rows
/// once.
#[test]
fn time_without_the_store_makes_no_broken_link_older() {
    for (mut b, patience) in [(cut_from("b", "me"), 1), (row("b"), 5)] {
        let mut fixture = cut_from_the_holder();
        let mut renewed = |store: Outcome| {
            b.renewals += u64::from(store != Outcome::Failed);
            condemned(&fixture.second(&store, &[(b.renewals, b.clone())]))
        };
        assert_eq!(renewed(Outcome::Applied(3)), []);
        for _ in 0..20 {
            assert_eq!(renewed(Outcome::Failed), []);
        }
        for second in 0..patience {
            assert_eq!(renewed(Outcome::Applied(4)), [], "of {patience}: {second} s after that");
        }
        assert_eq!(
            renewed(Outcome::Applied(5)),
            [(id("me"), Some(9))],
            "both are back, and still cut"
        );
    }
}

/// The last renewal of the dead member was read only when the store was back.
#[test]
fn nobody_gives_way_to_a_member_that_died_while_the_store_was_away() {
    let mut fixture = cut_from_the_holder();
    let mut b = cut_from("b", "me");
    b.renewals += 1;
    assert_eq!(condemned(&fixture.second(&Outcome::Applied(3), &[(5, b.clone())])), []);
    for _ in 0..20 {
        fixture.now += Duration::from_secs(1);
        fixture.step(Input::Tick(Timestamp::from_micros(1)));
        fixture.changed("me", Purpose::Renew, Outcome::Failed);
        assert_eq!(condemned(&fixture.step(Input::Scanned(None))), []);
    }
    b.renewals += 1;
    for second in 0..=4 {
        let effects = fixture.second(&Outcome::Applied(4), &[(6, b.clone())]);
        assert_eq!(condemned(&effects), [], "{second} s after that");
        assert_eq!(declared(&effects).len(), usize::from(second == 4), "{second} s after that");
    }
}

#[test]
fn a_renewal_that_comes_late_makes_a_broken_link_no_older_than_one_in_time() {
    let mut fixture = cut_from_the_holder();
    let mut b = row("b");
    // two seconds count of each 2.9 s: a renewal each second, seen a second later
    for turn in 0..=3 {
        b.renewals += 1;
        let effects = fixture.second(&Outcome::Applied(3), &[(b.renewals, b.clone())]);
        assert_eq!(condemned(&effects).len(), usize::from(turn == 3), "turn {turn}");
        fixture.now += Duration::from_millis(1900);
    }
}

#[test]
fn a_condemned_member_is_declared_dead_by_whoever_knows() {
    let mut fixture = watching();
    fixture.scanned(&[(4, row("b"))]);
    let verdict = Verdict { id: id("b"), by: id("c"), why: "a reason".into() };
    let verdicts = Verdicts { version: Some(9), holder: None, condemned: vec![verdict] };
    let effects = fixture.step(Input::Verdicts(verdicts));
    assert_eq!(declared(&effects), [(id("b"), "by `c@1`: a reason".to_owned())]);
}
