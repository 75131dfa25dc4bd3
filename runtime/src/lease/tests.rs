//! The lease by effects.

use antiphon_persistence::store::FencingToken;
use antiphon_persistence::time::{Clock, SystemClock};

use super::{Effect, Input, LeaseCore, LeaseRow};
use crate::NodeId;
use crate::membership::{Member, MemberState, Membership};

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn members(states: &[(&str, MemberState)]) -> Membership {
    Membership::new(states.iter().map(|(name, state)| Member {
        id: id(name),
        place: "p".into(),
        roles: Vec::new(),
        address: String::new(),
        http_address: None,
        state: *state,
        sealed: false,
    }))
}

fn row(holder: Option<&str>, token: u64) -> LeaseRow {
    LeaseRow { holder: holder.map(id), token }
}

fn step(core: &mut LeaseCore, input: Input) -> Vec<Effect> {
    core.step(SystemClock.now(), input)
}

#[test]
fn a_free_lease_is_taken_with_a_higher_token() {
    let mut core = LeaseCore::new(id("me"));
    let both = members(&[("me", MemberState::Up), ("b", MemberState::Up)]);
    assert_eq!(step(&mut core, Input::Members(both.clone(), true)), [], "nothing was read yet");
    assert_eq!(step(&mut core, Input::Read(Some((3, row(Some("b"), 7))))), [Effect::Publish]);
    let dead = members(&[("me", MemberState::Up), ("b", MemberState::Dead)]);
    let taken = [Effect::Change(Some(3), row(Some("me"), 8))];
    assert_eq!(step(&mut core, Input::Members(dead, true)), taken);
    assert_eq!(core.held(), None);
    let effects = step(&mut core, Input::Changed(Some(Some((4, row(Some("me"), 8))))));
    assert_eq!(effects, [Effect::Publish]);
    assert_eq!(core.held(), Some(FencingToken(8)));
}

#[test]
fn after_an_unknown_outcome_the_row_is_read_before_anything_else() {
    let mut core = LeaseCore::new(id("me"));
    let me = members(&[("me", MemberState::Up)]);
    step(&mut core, Input::Members(me, true));
    assert_eq!(step(&mut core, Input::Read(None)), [Effect::Change(None, row(Some("me"), 1))]);
    assert_eq!(step(&mut core, Input::Changed(None)), []);
    step(&mut core, Input::Read(Some((1, row(Some("me"), 1)))));
    assert_eq!(core.held(), Some(FencingToken(1)));
}

#[test]
fn a_released_lease_has_no_holder_and_is_not_taken_again() {
    let mut core = LeaseCore::new(id("me"));
    step(&mut core, Input::Members(members(&[("me", MemberState::Leaving)]), true));
    step(&mut core, Input::Read(Some((1, row(Some("me"), 1)))));
    assert_eq!(step(&mut core, Input::Release), [Effect::Change(Some(1), row(None, 1))]);
    assert_eq!(core.held(), None);
    assert_eq!(step(&mut core, Input::Changed(Some(Some((2, row(None, 1)))))), [Effect::Publish]);
}
