//! The snippets of `docs/guide`, which are compiled and run as documentation tests.

#[doc = include_str!("guide/tutorial.md")]
struct _Tutorial;

#[doc = include_str!("guide/timers-and-reminders.md")]
struct _TimersAndReminders;

#[doc = include_str!("guide/exactly-once.md")]
struct _ExactlyOnce;

#[cfg(feature = "actors")]
#[doc = include_str!("guide/actors.md")]
struct _Actors;
