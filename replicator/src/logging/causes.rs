//! An error in one line.

/// An error with its causes, because the outermost one often only says that something went wrong. A
/// cause whose text ends the line already is left out.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.ends_with(&message) {
            text += &format!(": {message}");
        }
        cause = inner.source();
    }
    text
}
