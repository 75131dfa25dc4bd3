//! Accounts in release 1 or 2 of their code, as `account.release` of the configuration says.

use std::process::ExitCode;

use antiphon::app::App;
use antiphon::prelude::*;
use antiphon_evolution::{AccountSettings, one, two};

fn main() -> ExitCode {
    if release() == 1 {
        return app()
            .entity_with("account", |setup| {
                let codec = setup.section::<AccountSettings>()?.codec.into();
                let make = move |_: &ReplicationId| one::Account { codec };
                Ok(ReplicatedEntityProvider::at_each_place("account", make))
            })
            .run();
    }
    app()
        .entity_with("account", |setup| {
            let settings = setup.section::<AccountSettings>()?;
            let (codec, writes) = (settings.codec.into(), settings.writes);
            let make = move |_: &ReplicationId| two::Account { codec, writes };
            Ok(ReplicatedEntityProvider::at_each_place("account", make))
        })
        .run()
}

fn app() -> App {
    antiphon::app::app("accounts").section::<AccountSettings>("account")
}

/// The release that the configuration names: an entity type has one type of behaviour in a program,
/// and this program stands for two.
fn release() -> u8 {
    let path = std::env::args().skip_while(|argument| argument != "--config").nth(1);
    let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    if text.lines().any(|line| line.trim() == "release = 2") { 2 } else { 1 }
}
