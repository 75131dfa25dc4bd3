//! `antiphon journal accept-loss`: the operator's decision that a place continues without the
//! answer of another place.

use crate::base::time::{Clock, SystemClock};
use crate::prelude::*;
use crate::runtime::node::{Doubt, DoubtKind, accept_loss, session};
use std::collections::BTreeSet;
use std::io::BufRead;

use crate::app::commands::existing::open_existing;
use crate::app::config::{Config, ConfigFile};
use crate::app::output::{self, say};

/// Accepts that the places `peers` are not asked for events of the own place; `all` stands for
/// every place in doubt. Prints the consequences, and asks for confirmation unless `is_confirmed`.
/// Returns whether the loss was accepted.
///
/// # Errors
/// `Rejected` when a place is not configured or not in doubt, or when there is no journal;
/// `Unavailable` when the journal cannot be reached.
pub async fn accept(file: &ConfigFile, peers: &[String], is_confirmed: bool) -> Result<bool> {
    let config = file.load()?;
    let place = config.node.place.clone();
    let journal = open_existing(&config).await?;
    let store = journal.stores().coordination;
    let row = session(&*store).await?;
    let doubted = row.iter().flat_map(|row| row.doubts.keys());
    check_names(&config, doubted.map(String::as_str), peers)?;
    let Some(row) = row else {
        return Err(Error::rejected(format!(
            "the journal of `{place}` has no session: start a node of the place first"
        )));
    };
    if row.doubts.is_empty() {
        say!("Place `{place}` is in no doubt about any other place: nothing to accept.")?;
        return Ok(true);
    }
    let named = |peer: &&String| peers.iter().any(|name| name == "all" || name == *peer);
    let chosen: Vec<String> = row.doubts.keys().filter(named).cloned().collect();
    if let Some(unknown) =
        peers.iter().find(|peer| *peer != "all" && !row.doubts.contains_key(*peer))
    {
        let doubted: Vec<&String> = row.doubts.keys().collect();
        return Err(Error::rejected(format!(
            "`--peer`: expected a place whose word is missing ({doubted:?}), actual {unknown:?}"
        )));
    }
    for peer in &chosen {
        say!("{}", meaning(&place, peer, row.doubts[peer]))?;
    }
    if !is_confirmed && !confirmed()? {
        say!("Nothing was changed.")?;
        return Ok(false);
    }
    for peer in &chosen {
        accept_loss(&*store, peer, SystemClock.wall().as_micros()).await?;
        say!("Accepted: place `{place}` goes on without the word of `{peer}`.")?;
    }
    Ok(true)
}

/// Refuses the name of the own place, and of a place that is neither configured nor in doubt, also
/// when there is nothing to accept: a later loss would be thought to be accepted.
fn check_names<'a>(
    config: &'a Config,
    doubted: impl Iterator<Item = &'a str>,
    peers: &[String],
) -> Result<()> {
    let configured = config.peers.iter().map(|peer| peer.place.as_str());
    let known: BTreeSet<&str> = configured.chain(doubted).collect();
    let unknown: Vec<&String> =
        peers.iter().filter(|name| *name != "all" && !known.contains(name.as_str())).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`--peer`: expected a place of `[[peers]]` {known:?} or `all`, actual {unknown:?}"
    )))
}

fn meaning(place: &str, peer: &str, doubt: Doubt) -> String {
    let why = match doubt.kind {
        Some(DoubtKind::WentBack) => "certainly went back",
        Some(DoubtKind::Unclean) | None => "may have gone back",
    };
    format!(
        "The journal of place `{place}` {why} (since session {}), and place `{peer}` was not asked for everything yet.\n\
         Events of `{place}` that only `{peer}` has will be missing here, and their numbers will be used again. If `{peer}` ever comes back with\n\
         them, its replicas of these entities differ from those here for ever: that is logged as an error, and `antiphon status` warns of it,\n\
         and one of the two places has to be made anew. Do this only when `{peer}` is gone for ever, or when you know that it has nothing more.",
        doubt.since
    )
}

fn confirmed() -> Result<bool> {
    let cannot = |error: std::io::Error| {
        Error::rejected(format!("no answer can be read: {error}: use --yes to confirm"))
    };
    // an operator who does not see the question cannot answer it
    output::write(&mut std::io::stdout(), format_args!("Type `yes` to accept this: "))
        .map_err(cannot)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(cannot)?;
    Ok(line.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_place_and_an_unknown_one_are_refused_by_their_names() {
        let text = "[node]\nplace = 'DC-A'\n[[peers]]\nplace = 'DC-B'\njournal = 'b.db'";
        let config =
            crate::app::config::parse(text, [], &crate::stores().into()).expect("a configuration");
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check_names(&config, ["DC-GONE"].into_iter(), &names).map_err(|error| error.to_string())
        };
        assert_eq!((check(&["DC-B", "DC-GONE"]), check(&["all"])), (Ok(()), Ok(())));
        for name in ["DC-A", "DC-X", ""] {
            let message = check(&["DC-B", name]).expect_err("a wrong name");
            assert!(message.contains(&format!("actual [{name:?}]")), "{message}");
            assert!(message.contains(r#"{"DC-B", "DC-GONE"}"#), "{message}");
        }
    }
}
