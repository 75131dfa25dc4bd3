//! A chat over several nodes and places: `chat demo` runs two places on this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon::app::app("chat")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Rooms are replicated entities, members are plain actors.")
        .entity(antiphon_chat::Room::provider())
        .routes(antiphon_chat::routes)
        .run()
}
