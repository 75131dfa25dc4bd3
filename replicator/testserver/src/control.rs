//! Faults by text, for programs in other languages: one command per line over TCP, one line back.
//!
//! ```text
//! lose-replies 3     ->  ok
//! slow 250           ->  ok
//! slow               ->  error: `slow`: expected a number, actual nothing
//! ```

use std::time::Duration;

use antiphon_base::task;
use antiphon_eventstore::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::Faults;

/// Length of the longest line that is read.
const LINE_BYTES_MAX: u64 = 4096;

/// The commands, for a usage text.
pub const COMMANDS: &str = "lose-replies N | lose-requests N | unavailable N | slow MILLIS | \
    not-leader HOST:PORT | leader | end-streams | refuse-acks N | deny STREAM | allow STREAM | \
    reset-connections | hold on|off | freeze on|off | clear";

impl Faults {
    /// Executes the command in a line; see [`COMMANDS`].
    ///
    /// # Errors
    /// `Rejected`, naming the command and the expected argument.
    pub fn command(&self, line: &str) -> Result<()> {
        let (name, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let argument = argument.trim();
        match name {
            "lose-replies" => self.lose_replies(number(name, argument)?),
            "lose-requests" => self.lose_requests(number(name, argument)?),
            "unavailable" => self.unavailable(number(name, argument)?),
            "refuse-acks" => self.refuse_acks(number(name, argument)?),
            "slow" => self.slow(Duration::from_millis(number(name, argument)?.into())),
            "not-leader" => self.not_leader(Some(address(name, argument)?)),
            "leader" => self.not_leader(None),
            "end-streams" => self.end_streams(),
            "deny" => self.deny(argument),
            "allow" => self.allow(argument),
            "reset-connections" => self.reset_connections(),
            "hold" => self.hold_requests(switch(name, argument)?),
            "freeze" => self.freeze(switch(name, argument)?),
            "clear" => self.clear(),
            _ => return Err(unexpected("command", COMMANDS, name)),
        }
        Ok(())
    }
}

/// Accepts commands at a listener until the process ends.
///
/// # Errors
/// The error of the listener.
pub async fn serve(listener: TcpListener, faults: Faults) -> std::io::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        let faults = faults.clone();
        task::spawn("control of faults", async move {
            if let Err(error) = converse(connection, &faults).await {
                tracing::debug!(%error, "a control connection broke");
            }
        });
    }
}

async fn converse(connection: TcpStream, faults: &Faults) -> std::io::Result<()> {
    let (read, mut write) = connection.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut read).take(LINE_BYTES_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match faults.command(&line) {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => format!("error: {error}\n"),
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

fn number(name: &str, argument: &str) -> Result<u32> {
    argument.parse().map_err(|_| unexpected(name, "a number", argument))
}

fn switch(name: &str, argument: &str) -> Result<bool> {
    match argument {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(unexpected(name, "`on` or `off`", argument)),
    }
}

fn address(name: &str, argument: &str) -> Result<(String, u16)> {
    let wrong = || unexpected(name, "HOST:PORT", argument);
    let (host, port) = argument.rsplit_once(':').ok_or_else(wrong)?;
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

fn unexpected(name: &str, expected: &str, actual: &str) -> Error {
    let actual = if actual.is_empty() { "nothing".to_owned() } else { format!("`{actual}`") };
    Error::new(ErrorKind::Rejected, format!("`{name}`: expected {expected}, actual {actual}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_is_answered_with_what_was_expected() {
        let faults = Faults::default();
        let says = |line| faults.command(line).unwrap_err().to_string();
        assert_eq!(says("slow"), "`slow`: expected a number, actual nothing");
        assert_eq!(says("hold maybe"), "`hold`: expected `on` or `off`, actual `maybe`");
        assert_eq!(says("not-leader x"), "`not-leader`: expected HOST:PORT, actual `x`");
        assert_eq!(says("dance"), format!("`command`: expected {COMMANDS}, actual `dance`"));
    }

    #[test]
    fn every_command_of_the_usage_text_is_understood() {
        let faults = Faults::default();
        for usage in COMMANDS.split(" | ") {
            let line = usage.replace('N', "1").replace("MILLIS", "1").replace("on|off", "off");
            let line = line.replace("HOST:PORT", "a:1").replace("MILLIS", "1");
            faults.command(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
