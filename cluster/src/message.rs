//! Messages of serde as messages of ractor that go to other nodes.

#[doc(hidden)]
pub mod wire {
    //! The inside of [`json_message!`](crate::json_message).

    use ractor::message::{BoxedDowncastErr, SerializedMessage};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    pub fn encode<M: Serialize>(message: &M) -> Result<SerializedMessage, BoxedDowncastErr> {
        let args = serde_json::to_vec(message).map_err(|_| BoxedDowncastErr)?;
        Ok(SerializedMessage::Cast { variant: String::new(), args, metadata: None })
    }

    pub fn decode<M: DeserializeOwned>(message: SerializedMessage) -> Result<M, BoxedDowncastErr> {
        match message {
            SerializedMessage::Cast { args, .. } => {
                serde_json::from_slice(&args).map_err(|_| BoxedDowncastErr)
            }
            SerializedMessage::Call { .. } | SerializedMessage::CallReply(..) => {
                Err(BoxedDowncastErr)
            }
        }
    }
}

/// Makes a type of serde a message of ractor that is sent to other nodes, as JSON. For messages
/// without a reply port; those with one are derived by `ractor_cluster`.
///
/// An actor drops a message that it cannot decode, such as a variant that its release does not
/// know.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// struct Line { from: String, text: String }
///
/// antiphon_cluster::json_message!(Line);
///
/// use antiphon_cluster::ractor::Message;
/// assert!(Line::serializable());
/// let line = Line { from: "ann".to_owned(), text: "hello".to_owned() };
/// let sent = Message::serialize(line.clone()).unwrap();
/// assert_eq!(<Line as Message>::deserialize(sent), Ok(line));
/// ```
#[macro_export]
macro_rules! json_message {
    ($message:ty) => {
        impl $crate::ractor::Message for $message {
            fn serializable() -> bool {
                true
            }

            fn serialize(
                self,
            ) -> ::core::result::Result<
                $crate::ractor::message::SerializedMessage,
                $crate::ractor::message::BoxedDowncastErr,
            > {
                $crate::wire::encode(&self)
            }

            fn deserialize(
                message: $crate::ractor::message::SerializedMessage,
            ) -> ::core::result::Result<Self, $crate::ractor::message::BoxedDowncastErr> {
                $crate::wire::decode(message)
            }
        }
    };
}
