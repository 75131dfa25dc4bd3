//! The settings of the audit log.

use std::path::PathBuf;

use antiphon_base::bounds;
use serde::{Deserialize, Serialize};

use super::place;
use crate::{Error, Result};

/// The answer to requests while the audit log cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditFault {
    /// Requests go on. Their lines are lost, and counted.
    #[default]
    Continue,
    /// Requests are refused with 503, except those for the health, and have no effect. No line of
    /// a request that may have an effect is lost while the node runs. Strangers get 401 as always,
    /// and their lines are counted as left out.
    Refuse,
}

/// The audit log of the HTTP interface: a line of JSON for each request, except those for the
/// health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The file, which is made when it is missing. Its folder must be there. Older lines are in
    /// files beside it, `FILE.1` being the newest of them. A device such as `/dev/stdout`, and
    /// the file behind a symbolic link, get all lines and are never renamed. A named pipe is
    /// refused.
    pub file: PathBuf,
    /// Bytes of one file; then the next one begins. Default: 64 MiB.
    pub bytes_max: u64,
    /// Files, the newest one included; the oldest one is deleted. Default: 8.
    pub files_max: usize,
    /// Lines of requests under way and of those that are not written yet. Beyond, requests are
    /// treated as while the log cannot be written. At least `http.connections_max`. Default: 8192.
    pub queue_max: usize,
    /// The answer to requests while the log cannot be written. Default: `continue`.
    pub on_fault: AuditFault,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            bytes_max: 64 << 20,
            files_max: 8,
            queue_max: 8192,
            on_fault: AuditFault::Continue,
        }
    }
}

impl AuditSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self, connections_max: usize) -> Result<()> {
        if self.file.as_os_str().is_empty() {
            return Err(Error::rejected("`audit.file`: expected the path of a file, actual none"));
        }
        bounds::number("audit.bytes_max", self.bytes_max, 64 << 10..=1 << 40)?;
        bounds::count("audit.files_max", self.files_max, 2..=1000)?;
        bounds::count("audit.queue_max", self.queue_max, connections_max..=1 << 24)
    }

    /// Checks that the file can be there, and makes nothing.
    ///
    /// # Errors
    /// `Rejected`, naming the file and what was expected.
    pub fn check_file(&self) -> Result<()> {
        let bad = |why: &str| {
            Error::rejected(format!(
                "`http.audit.file`: expected a file in a folder that is there, actual {}: {why}",
                self.file.display()
            ))
        };
        place::check(&self.file).map_err(|why| bad(&why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        let good = AuditSettings { file: "audit.log".into(), ..AuditSettings::default() };
        good.validate(256).unwrap();
        for (settings, name) in [
            (AuditSettings::default(), "audit.file"),
            (AuditSettings { bytes_max: 1, ..good.clone() }, "audit.bytes_max"),
            (AuditSettings { files_max: 1, ..good.clone() }, "audit.files_max"),
            (AuditSettings { queue_max: 255, ..good.clone() }, "audit.queue_max"),
        ] {
            assert!(settings.validate(256).unwrap_err().to_string().contains(name), "{name}");
        }
        let at = |file: &str| AuditSettings { file: file.into(), ..good.clone() }.check_file();
        assert!(at("/no/such/audit.log").unwrap_err().to_string().contains("is missing"));
        assert!(at("/tmp").unwrap_err().to_string().contains("a folder"));
        at("/dev/null").unwrap();
    }
}
