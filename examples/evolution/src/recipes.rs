//! One adapter for each change of an event: `docs/guide/evolution.md` shows them.

use antiphon::persistence::codec::CodecId;
use antiphon::persistence::event::Payload;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// A payment, which got the field `currency`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// The amount.
    pub cents: u64,
    /// The currency; payments of before were in euros.
    #[serde(default = "euro")]
    pub currency: String,
}

fn euro() -> String {
    "EUR".to_owned()
}

/// The payment of version 1, for bincode, which cannot read a type that got a field.
#[derive(Serialize, Deserialize)]
struct PaidWithoutCurrency {
    cents: u64,
}

/// A field that was added, with any codec: version 1 has no currency.
///
/// # Errors
/// `Corrupt` when the payload is no payment.
pub fn with_currency(payload: &Payload) -> Result<Vec<Paid>> {
    if payload.version == 1 {
        let PaidWithoutCurrency { cents } = payload.decode()?;
        return Ok(vec![Paid { cents, currency: euro() }]);
    }
    Ok(vec![payload.decode()?])
}

/// The contact of a customer, of which an event changes one part or both.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactChanged {
    /// The new name.
    pub name: Option<String>,
    /// The new address.
    pub address: Option<String>,
}

/// Two kinds of events that are one kind now: each of the old ones is read as one half.
///
/// # Errors
/// `Corrupt` when the payload is none of the three.
pub fn merged(payload: &Payload) -> Result<Vec<ContactChanged>> {
    Ok(vec![match &*payload.manifest {
        "name-changed" => {
            ContactChanged { name: Some(payload.decode()?), ..ContactChanged::default() }
        }
        "address-changed" => {
            ContactChanged { address: Some(payload.decode()?), ..ContactChanged::default() }
        }
        _ => payload.decode()?,
    }])
}

/// A kind whose name was wrong: the manifest in the journal stays, whatever the type is called.
///
/// # Errors
/// `Rejected` when the codec cannot write the event.
pub fn renamed(paid: &Paid) -> Result<Payload> {
    Payload::encode(CodecId::Cbor, "payed", 2, paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [CodecId; 3] = [CodecId::Bincode, CodecId::Cbor, CodecId::Json];

    #[test]
    fn a_payment_without_a_currency_was_in_euros_with_each_codec() {
        let expected = [Paid { cents: 700, currency: euro() }];
        for codec in CODECS {
            let old = Payload::encode(codec, "paid", 1, &PaidWithoutCurrency { cents: 700 });
            assert_eq!(with_currency(&old.unwrap()).unwrap(), expected);
            let new = Payload::encode(codec, "paid", 2, &expected[0]).unwrap();
            assert_eq!(with_currency(&new).unwrap(), expected);
        }
        // the codecs with names need no adapter for it
        let json = Payload::encode(CodecId::Json, "paid", 1, &PaidWithoutCurrency { cents: 700 });
        assert_eq!(json.unwrap().decode::<Paid>().unwrap(), expected[0]);
    }

    #[test]
    fn each_half_of_a_merged_event_is_read_alone() {
        for codec in CODECS {
            let name = Payload::encode(codec, "name-changed", 1, "Ann").unwrap();
            let [ContactChanged { name: Some(name), address: None }] = &*merged(&name).unwrap()
            else {
                panic!("the name alone")
            };
            assert_eq!(name, "Ann");
            let address = Payload::encode(codec, "address-changed", 1, "Bern").unwrap();
            assert_eq!(merged(&address).unwrap()[0].address.as_deref(), Some("Bern"));
            let both = ContactChanged { name: Some("Bo".into()), address: Some("Ulm".into()) };
            let stored = Payload::encode(codec, "contact-changed", 1, &both).unwrap();
            assert_eq!(merged(&stored).unwrap(), [both]);
        }
    }

    #[test]
    fn a_renamed_type_keeps_its_manifest() {
        let paid = Paid { cents: 7, currency: euro() };
        let stored = renamed(&paid).unwrap();
        assert_eq!(&*stored.manifest, "payed");
        assert_eq!(stored.decode::<Paid>().unwrap(), paid);
    }
}
