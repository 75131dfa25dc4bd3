//! Finds out a type's shape: lets the type be read, again and again, from made-up values, until
//! each variant was seen.
//!
//! A derived `Deserialize` names its fields and variants before it reads any. A type that refuses a
//! made-up value is offered others. When it refuses all, the option, sequence, map or variant
//! around it is left out, and its form stays unknown. Everything is bounded: passes, steps and
//! depth.

mod merging;
mod open;
mod reader;
mod state;

use antiphon_base::guard;
use serde::de::DeserializeOwned;

use super::form::{Form, Shape, merge};
use reader::Reader;
use state::State;

pub(super) use state::MadeOf;

/// Most values that are made up for one type.
const PASSES_MAX: usize = 2000;

/// The shape of `T`; `sample` gets the values that were read. With `is_empty`, options, sequences
/// and maps are left empty.
pub(super) fn trace<T: DeserializeOwned>(
    human_readable: bool,
    is_empty: bool,
    sample: impl FnMut(T, MadeOf),
) -> Shape {
    let mut state = State { human_readable, is_empty, ..State::default() };
    let root = trace_in(&mut state, sample);
    Shape { root, types: state.types }
}

/// Made-up values of each variant: with options, sequences and maps filled, and with them empty.
/// Returns whether the type contains a type that takes any value.
pub(crate) fn samples<T: DeserializeOwned>(
    human_readable: bool,
    mut sample: impl FnMut(T),
) -> bool {
    let mut saw_any = false;
    for is_empty in [false, true] {
        let mut state = State { human_readable, is_empty, ..State::default() };
        trace_in(&mut state, |value, _| sample(value));
        saw_any |= state.saw_any;
    }
    saw_any
}

fn trace_in<T: DeserializeOwned>(state: &mut State, mut sample: impl FnMut(T, MadeOf)) -> Form {
    let mut root = Form::Unknown;
    for _ in 0..PASSES_MAX {
        state.begin();
        let mut form = Form::Unknown;
        let known = state.done.len();
        let subject = std::any::type_name::<T>();
        let read = guard::call("Deserialize of a made-up value", &subject, || {
            T::deserialize(Reader { state: &mut *state, form: &mut form })
        });
        merge(&mut root, form);
        match read {
            Ok(Ok(value)) => {
                sample(value, state.made_of());
                let is_new = state.root_variant.is_some_and(|index| state.sampled.insert(index));
                if state.done.len() == known && !is_new {
                    // all variants were seen, or the others cannot be reached
                    break;
                }
            }
            Ok(Err(_)) => {
                if !state.blame() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    root
}
