//! A list, or a text, into which every replica inserts and from which every replica removes.
//!
//! Each element has an id, and remembers between which two elements it was inserted, its *left* and
//! its *right* one. Elements that were inserted at one place at the same time are put in order by
//! these two and then by their ids, in the way of FugueMax (Weidner and Kleppmann, "The Art of the
//! Fugue", 2023), in its form for a flat list (YjsMod, by Gentle). So what one replica inserts at
//! one place, forwards or backwards, stays together: texts that two people type at one place do not
//! interleave.
//!
//! A removed element leaves its id, since others may have inserted beside it. Elements that were
//! inserted in one operation and still stand side by side are one *run*, which has one id and one
//! pair of neighbours for all of them. Runs are as long as they can be, so equal lists have equal
//! runs.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::context::{OperationContext, OperationNr};
use super::replicated::Replicated;
use crate::identity::ReplicaId;

/// The name of an element: the number of its insert at its origin. The elements of one insert have
/// numbers in a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ElementId {
    /// The replica at which the element was inserted.
    pub origin: ReplicaId,
    /// Its number there.
    pub nr: OperationNr,
}

impl ElementId {
    fn plus(&self, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let OperationNr { event, index } = self.nr;
        let nr = OperationNr { event, index: index.wrapping_add(count) };
        Self { origin: self.origin.clone(), nr }
    }
}

/// A list of elements; a text is a `Sequence<char>`.
///
/// ```
/// use antiphon_persistence::crdt::{Replicated, Sequence, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut text = Sequence::<char>::default();
/// text.apply(&text.insert(0, "a day".chars()), &StandaloneContext::new(a.clone(), 1));
/// // at the same time, an insert at each place, and a remove
/// let (sunny, fine) = (text.insert(2, "sunny ".chars()), text.insert(2, "fine ".chars()));
/// let remove = text.remove(0..2);
/// text.apply(&sunny, &StandaloneContext::new(a, 2));
/// text.apply(&fine, &StandaloneContext::new(b.clone(), 1));
/// text.apply(&remove, &StandaloneContext::new(b, 2));
/// assert_eq!(text.text(), "sunny fine day");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence<T> {
    runs: Vec<Run<T>>,
}

/// Elements of one insert that stand side by side. The left one of each but the first is the one
/// before it; all have the same right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run<T> {
    first: ElementId,
    left: Option<ElementId>,
    right: Option<ElementId>,
    elements: Vec<Element<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Element<T> {
    Removed,
    Kept(T),
}

/// The operation of a [`Sequence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SequenceOp<T> {
    /// Inserts values between two elements.
    Inserted {
        /// The element before them; `None` at the beginning.
        left: Option<ElementId>,
        /// The element behind them, removed or not; `None` at the end.
        right: Option<ElementId>,
        /// The values.
        values: Vec<T>,
    },
    /// Removes elements.
    Removed {
        /// The elements.
        spans: Vec<Span>,
    },
}

/// Elements with ids in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first one.
    pub first: ElementId,
    /// Their number.
    pub count: u32,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<T> Run<T> {
    /// The place of an element in the run.
    fn offset(&self, id: &ElementId) -> Option<usize> {
        let first = &self.first;
        let is_of_insert = id.nr.event == first.nr.event && id.origin == first.origin;
        let offset = usize::try_from(id.nr.index.checked_sub(first.nr.index)?).ok()?;
        (is_of_insert && offset < self.elements.len()).then_some(offset)
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        let count = self.elements.len();
        next.first == self.first.plus(count)
            && next.left.as_ref() == Some(&self.first.plus(count - 1))
            && next.right == self.right
    }
}

impl<T> Sequence<T> {
    /// The elements in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.runs.iter().flat_map(|run| &run.elements).filter_map(|element| match element {
            Element::Removed => None,
            Element::Kept(value) => Some(value),
        })
    }

    /// The element at `index`, from zero; looks at those before it.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.iter().nth(index)
    }

    /// Number of elements; looks at each.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The operation that inserts `values` before the element at `index`, or at the end when there
    /// are not so many.
    pub fn insert(&self, index: usize, values: impl IntoIterator<Item = T>) -> SequenceOp<T> {
        let left = self.places().take(index).last();
        let right = match left {
            None => self.runs.first().map(|run| run.first.clone()),
            Some((run, offset)) if offset + 1 < self.runs[run].elements.len() => {
                Some(self.id(run, offset + 1))
            }
            Some((run, _)) => self.runs.get(run + 1).map(|next| next.first.clone()),
        };
        let left = left.map(|(run, offset)| self.id(run, offset));
        SequenceOp::Inserted { left, right, values: values.into_iter().collect() }
    }

    /// The operation that inserts `values` behind all elements.
    pub fn push(&self, values: impl IntoIterator<Item = T>) -> SequenceOp<T> {
        self.insert(usize::MAX, values)
    }

    /// The operation that removes the elements at the places `range`, as far as there are any.
    pub fn remove(&self, range: Range<usize>) -> SequenceOp<T> {
        let mut spans: Vec<Span> = Vec::new();
        let places = self.places().skip(range.start);
        for (run, offset) in places.take(range.end.saturating_sub(range.start)) {
            let id = self.id(run, offset);
            match spans.last_mut() {
                Some(span) if span.first.plus(span.count as usize) == id => span.count += 1,
                Some(_) | None => spans.push(Span { first: id, count: 1 }),
            }
        }
        SequenceOp::Removed { spans }
    }

    /// The operation that removes all elements that are here now.
    pub fn clear(&self) -> SequenceOp<T> {
        self.remove(0..usize::MAX)
    }

    /// The run and the place in it of each element that is not removed.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().enumerate().flat_map(|(run, of_run)| {
            let elements = of_run.elements.iter().enumerate();
            let kept = elements.filter(|(_, element)| matches!(element, Element::Kept(_)));
            kept.map(move |(offset, _)| (run, offset))
        })
    }

    fn id(&self, run: usize, offset: usize) -> ElementId {
        self.runs[run].first.plus(offset)
    }

    /// The place of an element at or behind the run `from`.
    fn find(&self, id: &ElementId, from: usize) -> Option<(usize, usize)> {
        let runs = self.runs.iter().enumerate().skip(from);
        runs.into_iter().find_map(|(run, of_run)| Some((run, of_run.offset(id)?)))
    }

    /// Cuts a run so that a run begins at `offset` in it; returns that run.
    fn split(&mut self, run: usize, offset: usize) -> usize {
        let head = &mut self.runs[run];
        if offset == 0 {
            return run;
        }
        if offset < head.elements.len() {
            let tail = Run {
                first: head.first.plus(offset),
                left: Some(head.first.plus(offset - 1)),
                right: head.right.clone(),
                elements: head.elements.split_off(offset),
            };
            self.runs.insert(run + 1, tail);
        }
        run + 1
    }

    /// Makes one run of those that belong together, among `from..=to`.
    fn join(&mut self, from: usize, to: usize) {
        for run in (from.max(1)..=to.min(self.runs.len().saturating_sub(1))).rev() {
            if self.runs[run - 1].is_continued_by(&self.runs[run]) {
                let tail = self.runs.remove(run);
                self.runs[run - 1].elements.extend(tail.elements);
            }
        }
    }

    /// The place of a new run among the runs `between` its left and its right element, which were
    /// all inserted at the same time as it.
    fn place(&self, between: Range<usize>, new: &Run<T>) -> usize {
        let runs = self.runs.iter().enumerate();
        let runs = runs.skip(between.start).take(between.len());
        let firsts: BTreeMap<_, _> = runs.map(|(run, of_run)| (&of_run.first, run)).collect();
        let find = |id: &Option<ElementId>| {
            let id = id.as_ref()?;
            let (_, run) = firsts.range::<ElementId, _>(..=id).next_back()?;
            self.runs[*run].offset(id).map(|_| *run)
        };
        // the new run comes before runs of which it is not certain yet that it is behind them
        let (mut place, mut is_uncertain) = (between.start, false);
        for run in between.clone() {
            if !is_uncertain {
                place = run;
            }
            let other = &self.runs[run];
            if other.left != new.left {
                if find(&other.left).is_some_and(|left| left < run) {
                    continue;
                }
                return place;
            }
            if other.right == new.right {
                if new.first < other.first {
                    return place;
                }
                is_uncertain = false;
            } else {
                // the other one's right element is nearer
                is_uncertain = find(&other.right).is_some_and(|right| right > run);
            }
        }
        if is_uncertain { place } else { between.end }
    }

    fn insert_run(&mut self, new: Run<T>) {
        let start = match new.left.as_ref().and_then(|left| self.find(left, 0)) {
            Some((run, offset)) => self.split(run, offset + 1),
            // at the beginning, or beside an element that an operator has skipped
            None => 0,
        };
        let end = match new.right.as_ref().and_then(|right| self.find(right, start)) {
            Some((run, offset)) => self.split(run, offset),
            None => self.runs.len(),
        };
        let place = self.place(start..end, &new);
        self.runs.insert(place, new);
        self.join(start, end + 1);
    }

    fn remove_spans(&mut self, spans: &[Span]) {
        let mut ends = BTreeMap::new();
        for Span { first, count } in spans {
            let key = (&first.origin, first.nr.event, first.nr.index);
            let end: &mut u32 = ends.entry(key).or_default();
            *end = (*end).max(first.nr.index.saturating_add(*count));
        }
        for Run { first, elements, .. } in &mut self.runs {
            let (start, count) = (first.nr.index, u32::try_from(elements.len()));
            let mut limit = start.saturating_add(count.unwrap_or(u32::MAX));
            let of_insert = |index| (&first.origin, first.nr.event, index);
            for ((_, _, from), end) in ends.range(of_insert(0)..of_insert(limit)).rev() {
                let removed = start.max(*from)..limit.min(*end);
                for index in removed {
                    if let Some(element) = elements.get_mut((index - start) as usize) {
                        *element = Element::Removed;
                    }
                }
                limit = limit.min(*from);
                if limit <= start {
                    break;
                }
            }
        }
    }
}

impl Sequence<char> {
    /// The text.
    pub fn text(&self) -> String {
        self.iter().collect()
    }
}

impl<T: Clone> Replicated for Sequence<T> {
    type Operation = SequenceOp<T>;

    fn apply(&mut self, operation: &SequenceOp<T>, context: &dyn OperationContext) {
        match operation {
            SequenceOp::Inserted { left, right, values } if !values.is_empty() => {
                let nr = context.take(u32::try_from(values.len()).unwrap_or(u32::MAX));
                let first = ElementId { origin: context.origin().clone(), nr };
                let elements = values.iter().cloned().map(Element::Kept).collect();
                let (left, right) = (left.clone(), right.clone());
                self.insert_run(Run { first, left, right, elements });
            }
            SequenceOp::Inserted { .. } => {}
            SequenceOp::Removed { spans } => self.remove_spans(spans),
        }
    }

    fn reset(&self) -> Option<SequenceOp<T>> {
        Some(self.clear())
    }

    /// The ids of removed elements stay.
    fn is_initial(&self) -> bool {
        self.runs.is_empty()
    }
}
