//! The structure of CBOR, checked before a value is read from it: each claimed length is there.
//!
//! A reader takes memory for the elements that a sequence claims, at each level of nesting. In
//! bytes that were checked, all claims together are at most as many as the bytes.

use super::failed::Failed;

/// Deepest nesting that is looked at; the reader goes less deep.
const LEVELS_MAX: usize = 1024;

/// The first argument that means something else than a number.
const ARGUMENT_8: u8 = 24;
/// A length that is not known before; in the major type 7, the end of such a thing.
const INDEFINITE: u8 = 31;

/// The bytes that are not looked at yet.
struct Rest<'a>(&'a [u8]);

/// The begin of an item: its major type, and its argument, if it has one.
type Head = (u8, Option<u64>);

impl Rest<'_> {
    fn skip(&mut self, count: u64) -> Result<&[u8], Failed> {
        let taken = usize::try_from(count).ok().and_then(|count| self.0.split_at_checked(count));
        let Some((taken, rest)) = taken else {
            return Err(Failed::new(format!(
                "expected {count} more bytes, actual {}",
                self.0.len()
            )));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Failed> {
        let first = self.skip(1)?[0];
        let (major, argument) = (first >> 5, first & 0x1f);
        let argument = match argument {
            0..ARGUMENT_8 => Some(argument.into()),
            ARGUMENT_8..28 => {
                let bytes = self.skip(1 << (argument - ARGUMENT_8))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            INDEFINITE => None,
            _ => return Err(Failed::new("no CBOR: a length of an unknown form")),
        };
        Ok((major, argument))
    }

    /// The begin of the next item, behind its tags.
    fn item(&mut self) -> Result<Head, Failed> {
        loop {
            match self.head()? {
                (6, Some(_)) => {}
                head => return Ok(head),
            }
        }
    }
}

/// Checks that the bytes are whole items, one after the other. The reader takes more than one item
/// for a value: the content of a variant may stand behind its name.
pub(super) fn check(bytes: &[u8]) -> Result<(), Failed> {
    let mut rest = Rest(bytes);
    // the missing items of each open sequence or map; `None` for one that ends with a mark
    let mut open: Vec<Option<u64>> = Vec::new();
    while !(open.is_empty() && rest.0.is_empty()) {
        let missing = match rest.item()? {
            (2 | 3, Some(length)) => rest.skip(length).map(|_| Some(0))?,
            (4, Some(count)) => Some(count),
            (5, Some(count)) => Some(count.saturating_mul(2)),
            (2..=5, None) => None,
            (7, None) if open.last() == Some(&None) => {
                open.pop();
                Some(0)
            }
            (0 | 1 | 7, Some(_)) => Some(0),
            _ => return Err(Failed::new("no CBOR: an end without a begin")),
        };
        if missing != Some(0) {
            if open.len() == LEVELS_MAX {
                return Err(Failed::new("nested too deeply"));
            }
            open.push(missing);
            continue;
        }
        // an item is whole, and with it each thing of which it was the last
        loop {
            match open.last_mut() {
                None | Some(None) => break,
                Some(Some(1)) => drop(open.pop()),
                Some(Some(missing)) => {
                    *missing -= 1;
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_items_pass_and_each_part_of_them_is_refused() {
        for item in [
            &[0x18, 0xff][..],
            b"\x43abc",
            b"\x5f\x41a\x42bc\xff",
            b"\x83\x01\x82\x02\x03\xf6",
            b"\xbf\x61a\x9f\x01\xff\xff",
            b"\xc1\xd8\x20\xa1\x61a\x80",
            b"\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert!(check(&item.repeat(2)).is_ok(), "{item:x?}");
            for end in 1..item.len() {
                assert!(check(&item[..end]).is_err(), "{item:x?} up to {end}");
            }
        }
        for wrong in [&b"\xff"[..], b"\x81\xff", b"\x1c", b"\x9f\x82\x01\xff"] {
            assert!(check(wrong).is_err(), "{wrong:x?}");
        }
    }
}
