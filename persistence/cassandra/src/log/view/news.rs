//! Exchange of lane news between the nodes of a place: the question, its answer, and learning from
//! the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::FeedRelay;
use bytes::Bytes;

use super::View;
use super::state::{Added, LaneView, State};
use crate::log::entry::Entry;
use crate::log::relay::{self, LaneNews, NEWS_BYTES_MAX, News, Question, SETTLED};
use crate::log::round;
use crate::stats::Counters;
use crate::tables::{LaneId, LanePosition, Tables};

impl View {
    /// Answers a question, after a look at the lanes.
    pub(crate) async fn answer(
        &self,
        tables: &dyn Tables,
        counters: &Counters,
        age_max: Duration,
        question: &Question,
    ) -> Result<News> {
        let age_max = if question.fresh { Duration::ZERO } else { age_max };
        self.look(tables, counters, age_max, None).await?;
        Ok(news(&self.state(), question))
    }

    /// Asks another node. Returns true when that node sent all that it knows and the news fit. Asks
    /// again only as long as the news have something new.
    pub(super) async fn ask(&self, relay: &dyn FeedRelay, fresh: bool) -> Result<bool> {
        let mut before = None;
        loop {
            let known: Vec<_> = {
                let state = self.state();
                let known = state.lanes.iter().filter(|(_, view)| !view.own);
                let nr =
                    |view: &LaneView| if view.is_settled() { SETTLED } else { view.through.nr };
                known.map(|(id, view)| (id.writer.clone(), id.lane, nr(view))).collect()
            };
            if before.as_ref() == Some(&known) {
                return Ok(false);
            }
            before = Some(known.clone());
            let question = relay::encode(&Question { fresh, known })?;
            let Some(answer) = relay.ask(question).await else { return Ok(false) };
            let news = relay::decode_news(&answer)?;
            for of in &news.lanes {
                if !self.learn(of)? {
                    return Ok(false);
                }
            }
            if !news.more {
                return Ok(true);
            }
        }
    }

    /// Takes the news of one lane. Returns false when the news do not follow the known rounds.
    fn learn(&self, news: &LaneNews) -> Result<bool> {
        let (lane, (part, nr)) = (news.id(), news.after);
        let known = self.state().lanes.get(&lane).map(|view| (view.own, view.through.nr));
        match known {
            Some((true, _)) => return Ok(true),
            Some((false, through)) if through < nr => return Ok(false),
            Some(_) => {}
            None => {
                let at = LanePosition { part, nr };
                self.state().add_lane(&lane, || LaneView::after(at, nr.min(news.copied), 0));
            }
        }
        for (part, nr, record) in &news.rounds {
            let entries = decode_told(&lane, *nr, &Bytes::copy_from_slice(record))?;
            let at = LanePosition { part: *part, nr: *nr };
            if self.state().add(&lane, at, entries, false) == Added::NotNext {
                // the rounds do not follow each other, so the news are not complete
                return Ok(false);
            }
        }
        let mut state = self.state();
        state.copied(&lane, news.copied);
        state.dropped(&lane, news.first_part);
        if news.finished {
            state.finish(&lane);
        }
        Ok(true)
    }
}

/// The news in memory for a node with this knowledge.
pub(super) fn news(state: &State, question: &Question) -> News {
    let known: HashMap<(&str, u16), u64> =
        question.known.iter().map(|(writer, lane, nr)| ((&**writer, *lane), *nr)).collect();
    let (mut news, mut bytes) = (News::default(), 0);
    for (id, view) in &state.lanes {
        let known = known.get(&(&*id.writer, id.lane)).copied();
        if known == Some(SETTLED) && view.is_settled() {
            continue;
        }
        // a node that knows nothing of the lane needs only the rounds that are not copied
        let from = known.unwrap_or(view.copied).min(view.through.nr).max(view.base.nr);
        let first = view.index_after(from);
        let before = first.checked_sub(1).and_then(|index| view.rounds.get(index));
        let after = before.map_or(view.base, |round| round.at);
        let mut rounds = Vec::new();
        let mut whole = true;
        for round in view.rounds.range(first..) {
            if bytes >= NEWS_BYTES_MAX {
                (whole, news.more) = (false, true);
                break;
            }
            let record = round::encode_read(&round.entries);
            bytes += record.len();
            rounds.push((round.at.part, round.at.nr, record));
        }
        news.lanes.push(LaneNews {
            writer: id.writer.clone(),
            lane: id.lane,
            after: (after.part, after.nr),
            copied: view.copied,
            first_part: view.first_part,
            finished: view.finished && whole,
            rounds,
        });
    }
    news
}

/// Decodes a round from the answer of another node.
fn decode_told(lane: &LaneId, nr: u64, record: &Bytes) -> Result<Arc<[Entry]>> {
    let entries = round::decode(record).map_err(|why| {
        Error::corrupt(format!(
            "round {nr} of lane {} of writer `{}`, as another node told it, is unreadable: {why}",
            lane.lane, lane.writer
        ))
    })?;
    Ok(entries.into())
}
