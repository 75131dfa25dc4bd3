//! `antiphon journal verify`: checks the journal of a place for damage. Nothing is changed, and
//! nodes may run meanwhile.

use crate::persistence::verify::Report;
use crate::prelude::*;
use clap::ValueEnum;
use serde_json::json;

use crate::app::config::ConfigFile;
use crate::app::output;

/// The form of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

/// Checks every row of the journal of the configured place, and prints the damaged rows. Returns
/// whether no row is damaged.
///
/// # Errors
/// The errors of the configuration; `Unavailable` when the journal does not exist or does not
/// answer; `Rejected` when it is of another version.
pub async fn verify(file: &ConfigFile, form: Output) -> Result<bool> {
    let journal = file.load()?.own_journal()?;
    let (name, report) = (journal.name(), journal.open(true).await?.verify().await?);
    output::print(format_args!("{}", text(&name, &report, form)?))?;
    Ok(report.is_sound())
}

fn text(name: &str, report: &Report, output: Output) -> Result<String> {
    if output == Output::Json {
        let report = json!({ "journal": name, "sound": report.is_sound(), "report": report });
        return Ok(format!("{report}\n"));
    }
    let Report { streams, event_rows, events, snapshots, other_rows, damages, damage_count } =
        report;
    let mut text = format!(
        "journal `{name}`: {streams} streams, {event_rows} rows with {events} events, {snapshots} snapshots, {other_rows} other rows\n"
    );
    for damage in damages {
        text += &format!("damaged: {damage}\n");
    }
    text += &match damage_count {
        0 => "nothing is damaged\n".to_owned(),
        count if *count > damages.len() as u64 => {
            format!("{count} damages, of which the first {} are listed\n", damages.len())
        }
        count => format!("{count} damages\n"),
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::persistence::store::{Offset, OffsetKey, OffsetStore};
    use crate::sqlite::{SqliteSettings, SqliteStores};

    use super::*;

    #[test]
    fn a_report_names_each_damage_and_says_when_there_is_none() {
        let mut report = Report { streams: 2, events: 7, ..Report::default() };
        let sound = text("a.db", &report, Output::Text).unwrap();
        assert!(
            sound.starts_with("journal `a.db`: 2 streams")
                && sound.ends_with("nothing is damaged\n")
        );

        report.damaged("batches", "ordinal 3", "its checksum is another one");
        let damaged = text("a.db", &report, Output::Text).unwrap();
        assert!(damaged.contains("damaged: batches: ordinal 3: its checksum"), "{damaged}");
        let json = text("a.db", &report, Output::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["sound"], false);
        assert_eq!(json["report"]["damages"][0]["key"], "ordinal 3");
    }

    #[tokio::test]
    async fn a_bit_that_flipped_in_the_file_is_found_and_the_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let config = ConfigFile::new(folder.path().join("node.toml"), crate::stores());
        std::fs::write(config.path(), format!("journal = {path:?}\n")).unwrap();
        assert!(verify(&config, Output::Text).await.is_err(), "there is no journal");

        let stores = SqliteStores::open(&path, SqliteSettings::default()).unwrap();
        let key = OffsetKey { reader: "the reader".into(), part: "all".into() };
        stores.save_offset(&key, &Offset::new("the position of the reader")).await.unwrap();
        assert!(verify(&config, Output::Text).await.unwrap(), "while a node has it open");
        drop(stores);
        assert!(verify(&config, Output::Json).await.unwrap());

        let mut bytes = std::fs::read(&path).unwrap();
        let text = b"the position of the reader";
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!verify(&config, Output::Text).await.unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing is mended");
    }
}
