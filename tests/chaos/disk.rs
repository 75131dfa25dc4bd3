//! A separate disk for a place, which a test can fill: a file system in memory, which only root can
//! mount.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted disk; the drop of this value unmounts it.
pub(crate) struct Disk {
    folder: PathBuf,
}

const ROOM: &str = "4g";

fn run(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Disk {
    /// Mounts a disk; `None` when the process may not mount.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).ok()?;
        let options = format!("size={ROOM}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder))?;
        Some(Self { folder: folder.to_owned() })
    }

    /// Fills the free room. Returns whether that was possible.
    pub(crate) fn fill(&self) -> bool {
        let used = run(Command::new("df").args(["-k", "--output=used"]).arg(&self.folder));
        let used = used.and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
        used.is_some_and(|used| self.resize(&format!("{used}k")))
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        self.resize(ROOM);
    }

    fn resize(&self, size: &str) -> bool {
        let options = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.folder)).is_some()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.folder));
    }
}
