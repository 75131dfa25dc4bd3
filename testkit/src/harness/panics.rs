//! The panics of a run: tokio and the guard of application code would swallow them.

use std::cell::{Cell, RefCell};

thread_local! {
    /// The first panic of a task of the run on this thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The text of panics that are planned, and so do not count.
    static PLANNED: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// The treatment of panics of this thread.
    static WATCHED: Cell<Watched> = const { Cell::new(Watched::No) };
}

/// The treatment of a panic of this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// The thread runs no run: the panic goes on as everywhere.
    No,
    /// The panic is recorded and printed.
    Aloud,
    /// The panic is recorded.
    Quietly,
}

/// Records the first panic of this thread from now on, except those with the text `planned`, and
/// prints panics as usual.
pub fn watch(planned: Option<&'static str>) {
    begin(planned, Watched::Aloud);
}

/// The same without printing, for a run that is repeated many times.
pub fn watch_quietly() {
    begin(None, Watched::Quietly);
}

/// Ends the watch, and returns the first panic since its begin.
pub fn end() -> Option<String> {
    WATCHED.set(Watched::No);
    PANIC.take()
}

fn begin(planned: Option<&'static str>, watched: Watched) {
    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let watched = WATCHED.get();
            if watched == Watched::No {
                return before(info);
            }
            let text = info.to_string();
            if PLANNED.get().is_some_and(|planned| text.contains(planned)) {
                return;
            }
            PANIC.with_borrow_mut(|panic| _ = panic.get_or_insert(text));
            if watched == Watched::Aloud {
                before(info);
            }
        }));
    });
    PANIC.set(None);
    PLANNED.set(planned);
    WATCHED.set(watched);
}
