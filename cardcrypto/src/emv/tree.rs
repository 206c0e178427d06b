//! The session key tree of EMV2000 (EMV 4.0 Book 2 A1.3), which the common session key replaced in 2005.

use super::clear_key;
use crate::CardError;
use paytypes::bytes::{left, xor_into};
use paytypes::parity::make_odd;
use paytypes::{Cipher, CipherKind, ClearKey};
use zeroize::Zeroizing;

/// Shape of the tree and its starting value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    branch: u16,
    height: u8,
    start: [u8; 16],
}

impl Tree {
    /// Branch factor 4, height 8, start zero: what EMV recommends.
    pub const RECOMMENDED: Self = Self { branch: 4, height: 8, start: [0; 16] };

    /// `branch` to the power of `height` must be at least 65,535, so that every counter has a leaf of its
    /// own; the branch factor is 2 to 255 ([`CardError::Tree`] otherwise).
    pub const fn new(branch: u8, height: u8, start: [u8; 16]) -> Result<Self, CardError> {
        let branch = branch as u16; // no From in const
        let leaves = (branch as u64).saturating_pow(height as u32);
        if branch < 2 || leaves < 65_535 { Err(CardError::Tree) } else { Ok(Self { branch, height, start }) }
    }

    pub(super) async fn session_key<C: Cipher>(
        &self,
        cipher: &C,
        master: &ClearKey,
        counter: u16,
    ) -> Result<ClearKey, CardError> {
        let mut grandparent = clear_key(&self.start)?;
        let mut parent = master.duplicate();
        for level in (1..self.height).rev() {
            let node = self.ancestor(counter, level);
            let child = self.child(cipher, &parent, &grandparent, node).await?;
            grandparent = core::mem::replace(&mut parent, child);
        }
        let mut key = self.child(cipher, &parent, &grandparent, counter).await?;
        xor_into(key.expose_mut(), grandparent.expose());
        make_odd(key.expose_mut());
        Ok(key)
    }

    // Number of the node `level` steps above the leaf of `counter`.
    fn ancestor(&self, counter: u16, level: u8) -> u16 {
        (0..level).fold(counter, |node, _| node.checked_div(self.branch).unwrap_or_default())
    }

    // Both halves of the grandparent XOR the branch taken, the right one also XOR F0, under the parent. Not
    // adjusted in parity: the next level XORs with it.
    async fn child<C: Cipher>(
        &self,
        cipher: &C,
        parent: &ClearKey,
        grandparent: &ClearKey,
        node: u16,
    ) -> Result<ClearKey, CardError> {
        let [high, low] = node.checked_rem(self.branch).unwrap_or_default().to_be_bytes();
        let mut blocks = Zeroizing::new(left::<16>(grandparent.expose()));
        xor_into(blocks.as_mut_slice(), &[0, 0, 0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0, high, low ^ 0xF0]);
        let key = cipher.load(CipherKind::Tdes, parent.expose()).await?;
        cipher.ecb(&key, paytypes::Direction::Encrypt, blocks.as_mut_slice()).await?;
        clear_key(blocks.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::Soft;
    use paytypes::{hex, now};

    #[test]
    fn every_counter_needs_a_leaf() {
        assert!(Tree::new(2, 16, [0; 16]).is_ok());
        assert_eq!(Tree::new(4, 8, [0; 16]), Ok(Tree::RECOMMENDED));
        assert!(Tree::new(255, 2, [0; 16]).is_err());
        for (branch, height) in [(4, 7), (2, 15), (0, 16), (1, 255)] {
            assert_eq!(Tree::new(branch, height, [0; 16]), Err(CardError::Tree));
        }
    }

    // Two neighbouring counters never share a session key.
    #[test]
    fn neighbours_differ() {
        let master = ClearKey::new(&hex::decode::<16>(b"0123456789ABCDEFFEDCBA9876543210").unwrap()).unwrap();
        let key = |counter| {
            let made = now(Tree::RECOMMENDED.session_key(&Soft, &master, counter)).unwrap().unwrap();
            hex::encode(made.expose())
        };
        assert_eq!(key(0x001C), "E5BF6D1067F194B0A89B7F5D83BC64A2");
        assert_ne!(key(0x001C), key(0x001D));
    }
}
