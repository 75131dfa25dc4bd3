//! Decoders of untrusted bytes, as the fuzzing in `fuzz` calls them. Each crate lists its own, with
//! the feature `fuzzing`; nothing else uses them.

/// The rest of a call of a decoder: checks the decoded value, after its memory was measured.
pub type Check = Box<dyn FnOnce()>;

/// A decoder with its properties.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// The name, unique among all decoders.
    pub name: &'static str,
    /// Decodes, and returns the check of the value; `None` when the bytes are refused.
    pub decode: fn(&[u8]) -> Option<Check>,
    /// Bytes that the decoder accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The bounds of the memory and the time of a call.
    pub bounds: Bounds,
}

/// Bounds of one call. At any moment, the call has at most `fixed + per_byte * bytes of the input`
/// bytes of memory. In all, it takes at most 8 times that, multiplied by its effort. Its time is
/// bounded by the bytes of the input too, multiplied by its effort.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    fixed: usize,
    per_byte: usize,
    effort: u32,
}

impl Bounds {
    /// A bound with `fixed` bytes that do not depend on the input, such as the text of an error,
    /// and `per_byte` bytes for each of its bytes: a value of one encoded byte can be as large as
    /// its type. The effort is 1.
    pub const fn new(fixed: usize, per_byte: usize) -> Self {
        Self { fixed, per_byte, effort: 1 }
    }

    /// The same bounds with another effort: more for a file that is read once, by who wrote it.
    #[must_use]
    pub const fn with_effort(self, effort: u32) -> Self {
        Self { effort, ..self }
    }

    /// The most bytes of memory at any moment, for an input of this many bytes.
    pub fn at_once(self, input_bytes: usize) -> usize {
        self.fixed.saturating_add(self.per_byte.saturating_mul(input_bytes))
    }

    /// The most bytes of memory in all, for an input of this many bytes.
    pub fn in_all(self, input_bytes: usize) -> usize {
        self.at_once(input_bytes).saturating_mul(8 * self.effort as usize)
    }

    /// The factor of the time.
    pub fn effort(self) -> u32 {
        self.effort
    }
}

/// The check of a value that is encoded by `encode`, and read again by `decode`: nothing is lost.
///
/// # Panics
/// The check panics when the value cannot be read again, or is another one then.
pub fn round_trip<T, B>(
    value: T,
    encode: impl FnOnce(&T) -> B + 'static,
    decode: impl FnOnce(B) -> Option<T> + 'static,
) -> Check
where
    T: PartialEq + std::fmt::Debug + 'static,
    B: 'static,
{
    Box::new(move || {
        let again = decode(encode(&value));
        assert_eq!(again.as_ref(), Some(&value), "the value that was written is read back");
    })
}

/// The check of a decoder whose value is only dropped.
pub fn nothing_more<T: 'static>(value: T) -> Check {
    Box::new(move || drop(value))
}
