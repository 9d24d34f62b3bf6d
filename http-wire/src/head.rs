//! The compact head: one byte buffer, ranges into it, well-known field names as one-byte ids.
//! [`RequestHead`] and [`ResponseHead`] are reusable: `clear` keeps their capacity, so the steady state allocates nothing.
//! Nothing illegal can be stored (names are tokens, values hold no CR, LF or NUL), so a head can always be written out
//! as it is. Reading one from a connection is in `h1`, the meaning of its target in `canonical`.

mod field_id;
mod field_ids;
mod fields;
mod hop_by_hop;
mod text;

mod request;
mod response;

pub use field_id::FieldId;
pub use field_ids::FieldIds;
pub use fields::{Field, Fields, Invalid, Key, Line};
pub use request::{RequestHead, Version};
pub use response::ResponseHead;

pub(crate) use fields::Span;
pub(crate) use request::CanonicalTarget;
pub(crate) use text::{Text, TextSpan};
