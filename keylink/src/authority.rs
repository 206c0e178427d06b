//! Transport authorities by their keys. An authority certifies transport keys, the manager's own and those of nodes, and
//! which authorities count is what the root document says: so an authority's name is made of its key, and whoever has the
//! document needs no certificate of the authority to judge those that it issued.
//!
//! This module writes and reads the few bytes of X.501 names and keys that this takes, and judges nothing.

use crate::ids::PublicKey;
use core::str::FromStr;

/// Organization in the name of every authority; the common name is its key in hexadecimal.
pub const ORGANIZATION: &str = "payhsm transport authority";

// Name of two RDNs with one UTF8String each (X.501; RFC 5280 section 4.1.2.4): organization (2.5.4.10), then common name
// (2.5.4.3). All lengths are constant.
const NAME: [u8; 2] = [0x30, 0x70];
const OF_ORGANIZATION: [u8; 11] = [0x31, 0x23, 0x30, 0x21, 0x06, 0x03, 0x55, 0x04, 0x0A, 0x0C, 0x1A];
const OF_KEY: [u8; 11] = [0x31, 0x49, 0x30, 0x47, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x40];
// AlgorithmIdentifier of Ed25519 (RFC 8410 section 3), and the begin of a bit string of 32 bytes.
const ED25519: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The name of an authority, DER without the outer tag: as trust anchors have it.
pub fn subject(key: &PublicKey) -> Vec<u8> {
    [&OF_ORGANIZATION[..], ORGANIZATION.as_bytes(), &OF_KEY, key.to_string().as_bytes()].concat()
}

/// The same as a whole Name in DER: what certificates name as their issuer, and ends of TLS as authorities that they know.
pub fn name(key: &PublicKey) -> Vec<u8> {
    [&NAME[..], &subject(key)].concat()
}

/// SubjectPublicKeyInfo of an authority's key, DER without the outer tag: as trust anchors have it.
pub fn key_info(key: &PublicKey) -> Vec<u8> {
    [&ED25519[..], &key.0].concat()
}

/// The authority of this name (DER). Whether it has signed what names it, and whether it counts, is judged elsewhere.
pub fn named(name: &[u8]) -> Option<PublicKey> {
    let rest = name.strip_prefix(&NAME)?.strip_prefix(&OF_ORGANIZATION)?;
    let text = rest.strip_prefix(ORGANIZATION.as_bytes())?.strip_prefix(&OF_KEY)?;
    PublicKey::from_str(core::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let key = PublicKey([0xA7; 32]);
        let name = name(&key);
        assert_eq!((name.len(), usize::from(name[1])), (114, name.len() - 2));
        assert_eq!(named(&name), Some(key));
        for at in [0, 1, 5, 13, 50, 113] {
            let mut other = name.clone();
            other[at] = b'Z';
            assert_eq!(named(&other), None, "{at}");
        }
        assert_eq!(named(&[&name[..], b"0"].concat()), None);
        assert_eq!(named(&name[..113]), None);
        assert_eq!(key_info(&key).len(), 42);
    }
}
