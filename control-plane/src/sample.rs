//! A request as a proxy tells of it: what a route table reads of its head, without the values of fields and of query
//! parameters. Values; who collects them is in `samples`, what they are good for in `impact`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::canonical::{self, Hash};

/// The head of a request, without values.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub struct Head {
    /// The listener that it came to.
    #[schema(example = "web")]
    pub listener: String,
    /// The method.
    #[schema(example = "GET")]
    pub method: String,
    /// The host as it is matched: in lower case, without port.
    #[schema(example = "shop.example")]
    pub host: String,
    /// The path as it is matched: normalised, without query. It is kept as it is: what it says of people is seen by whoever may
    /// read the fleet.
    #[schema(example = "/products/7")]
    pub path: String,
    /// The names of its fields, in lower case and in order.
    pub headers: Vec<String>,
    /// The names of its query parameters, in order.
    pub query: Vec<String>,
}

/// A kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sample {
    /// What its requests have in common.
    #[serde(flatten)]
    pub head: Head,
    /// How many requests it stands for: recent ones whole, those of each day before half as much as those of the next.
    pub requests: u64,
}

/// Longest text and longest list that are taken from a proxy; ours sends less.
const TEXT_MAX: usize = 2_048;
const NAMES_MAX: usize = 128;

impl Head {
    /// Reads what a proxy has sent; `None` if it is larger than a proxy of ours makes it.
    pub fn read(sent: &proto::session::Sample) -> Option<Self> {
        let proto::session::Sample {
            listener,
            method,
            host,
            path,
            headers,
            query,
            requests: _,
        } = sent;
        let names = || headers.iter().chain(query);
        let mut texts = [listener, method, host, path].into_iter().chain(names());
        let is_small = headers.len() <= NAMES_MAX
            && query.len() <= NAMES_MAX
            && texts.all(|text| text.len() <= TEXT_MAX);
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names.dedup();
            names
        };
        is_small.then(|| Self {
            listener: listener.clone(),
            method: method.clone(),
            host: host.clone(),
            path: path.clone(),
            headers: sorted(headers),
            query: sorted(query),
        })
    }

    /// Its canonical bytes, and the hash by which it is known.
    pub fn fingerprint(&self) -> (Vec<u8>, Hash) {
        let bytes = canonical::to_bytes(self);
        let hash = canonical::hash(&bytes);
        (bytes, hash)
    }
}
