//! Bytes from anywhere: they decode or they give problems, and never end the process.

use proptest::prelude::*;
use xds::resource::Resource;
use xds::type_url::ResourceType;

proptest! {
    #[test]
    fn any_bytes_decode_or_give_problems(ty in 0usize..5, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let ty = ResourceType::ALL[ty];
        match Resource::decode(ty, bytes.into(), None) {
            Ok(resource) => prop_assert_eq!(resource.ty(), ty),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
