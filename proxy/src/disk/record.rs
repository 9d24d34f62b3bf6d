//! A resource as a record: its type URL, name, version and bytes, each with its length before it. The BLAKE3 hash of the
//! record is its address and its checksum in one. Where records stand is not known here.

use bytes::Bytes;
use xds::resource::Resource;
use xds::type_url::ResourceType;
use xds::version::Version;

/// The hash of a record.
pub(super) type Address = [u8; blake3::OUT_LEN];

/// Bytes of a length that stands before a field, little-endian.
const LENGTH: usize = size_of::<u32>();

/// Adds the record of a resource; returns its address. `None` if a field is too long to be stored, which is 4 GiB.
pub(super) fn encode(resource: &Resource, into: &mut Vec<u8>) -> Option<Address> {
    let start = into.len();
    let version = resource.version().text();
    let fields = [
        resource.ty().type_url().as_bytes(),
        resource.name().as_bytes(),
        version.as_bytes(),
        resource.bytes(),
    ];
    for field in fields {
        into.extend_from_slice(&u32::try_from(field.len()).ok()?.to_le_bytes());
        into.extend_from_slice(field);
    }
    Some(*blake3::hash(&into[start..]).as_bytes())
}

/// The resource of a record; an error says what is wrong with it.
pub(super) fn decode(mut record: &[u8], address: &Address) -> Result<Resource, String> {
    if blake3::hash(record) != *address {
        return Err("a resource is damaged".into());
    }
    let mut text = || {
        let field = field(&mut record)?;
        str::from_utf8(field).ok()
    };
    let (Some(type_url), Some(name), Some(version)) = (text(), text(), text()) else {
        return Err("a resource is not whole".into());
    };
    let bytes = field(&mut record).ok_or("a resource is not whole")?;
    let ty = ResourceType::from_type_url(type_url)
        .ok_or_else(|| format!("{name:?} has the unknown type {type_url:?}"))?;
    let resource = Resource::decode(
        ty,
        Bytes::copy_from_slice(bytes),
        Some(Version::stated(version)),
    );
    // What an older version of this program took, this one may refuse.
    resource.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
}

/// Takes the first field off a record.
fn field<'r>(record: &mut &'r [u8]) -> Option<&'r [u8]> {
    let (length, rest) = record.split_first_chunk::<LENGTH>()?;
    let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *record = rest;
    Some(field)
}
