//! Live progress on a terminal: a line per subscription, on the standard error.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::health::Board;

const INTERVAL: Duration = Duration::from_secs(1);

/// Starts a task that prints the progress every second until the task is aborted.
pub(super) fn show(board: Arc<Board>) -> JoinHandle<()> {
    task::spawn("progress", async move {
        let mut before = Value::Null;
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let now = board.json();
            let lines = render(&before, &now, INTERVAL);
            // a closed terminal needs no progress
            let _ = write!(std::io::stderr(), "{lines}");
            before = now;
        }
    })
}

/// Renders a line per subscription: events, rate, gap, and time until the gap is closed.
fn render(before: &Value, now: &Value, interval: Duration) -> String {
    let none = Vec::new();
    let subscriptions = now["subscriptions"].as_array().unwrap_or(&none);
    let mut text = String::new();
    for (index, one) in subscriptions.iter().enumerate() {
        let number = |of: &Value, field: &str| of[field].as_u64().unwrap_or_default();
        let processed = number(one, "processed");
        let earlier = number(&before["subscriptions"][index], "processed");
        let rate = processed.saturating_sub(earlier) * 1000
            / u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let name = one["name"].as_str().unwrap_or_default();
        let status = one["status"].as_str().unwrap_or_default();
        let _ = write!(text, "{name}: {status}, {processed} events, {rate}/s");
        if let Some(gap) = one["gap"].as_u64() {
            let unit = if one["kind"] == "all" { "bytes" } else { "events" };
            let _ = write!(text, ", {gap} {unit} behind");
            if rate > 0 && unit == "events" && gap > 0 {
                let _ = write!(text, ", done in {} s", gap.div_ceil(rate));
            }
        }
        for (field, word) in [("parked", "parked"), ("retries", "retries")] {
            let count = number(one, field);
            if count > 0 {
                let _ = write!(text, ", {count} {word}");
            }
        }
        if let Some(reason) = one["reason"].as_str() {
            let _ = write!(text, " ({reason})");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_how_fast_how_far_behind_and_when_it_ends() {
        let board = |processed: u64, gap: u64| {
            json!({ "subscriptions": [{
                "name": "all", "status": "up", "kind": "stream", "processed": processed,
                "gap": gap, "parked": 2, "retries": 0, "reason": null
            }] })
        };
        let line = render(&board(1000, 9000), &board(1500, 1200), Duration::from_secs(1));
        assert_eq!(
            line,
            "all: up, 1500 events, 500/s, 1200 events behind, done in 3 s, 2 parked\n"
        );
    }
}
