//! The name of this machine.

/// The name of this machine; none when the system does not tell it.
pub(super) fn name() -> Option<String> {
    // the kernel's name is that of the container; other systems have it in a variable
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = kernel.or_else(|_| std::env::var("HOSTNAME")).ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
