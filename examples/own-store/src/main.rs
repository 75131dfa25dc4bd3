//! Two places on a store that no other crate knows: both write, and both journals have all events.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use antiphon_own_store::places;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: antiphon-own-store FOLDER");
        return ExitCode::FAILURE;
    };
    match run(&folder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &Path) -> antiphon::prelude::Result<()> {
    let ran = Box::pin(places::run(folder, 20)).await?;
    for (place, value) in &ran.values {
        println!("{place}: 20 events written, the counter is {value}");
    }
    println!("the journals of both places hold {} events each", ran.events);
    Ok(())
}
