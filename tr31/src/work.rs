//! The buffer in which a block is opened or sealed: header text, then key data. Inline for every symmetric
//! key with few optional blocks, so that the hot path does not allocate; wiped on drop.

use zeroize::{Zeroize, ZeroizeOnDrop};

const INLINE: usize = 192;

pub(crate) struct Work {
    inline: [u8; INLINE],
    heap: Vec<u8>,
    len: usize,
    secret: usize,
}

// The header's text is public: what stands behind it is wiped, and no more.
impl Drop for Work {
    fn drop(&mut self) {
        self.after_mut(self.secret).zeroize();
    }
}

impl ZeroizeOnDrop for Work {}

impl Work {
    /// Zero bytes: room for `header` characters, and for `data` bytes that are secret.
    pub(crate) fn zeroed(header: usize, data: usize) -> Self {
        let len = header.saturating_add(data);
        let heap = if len > INLINE { vec![0; len] } else { Vec::new() };
        Self { inline: [0; INLINE], heap, len, secret: header }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len > INLINE { &self.heap } else { self.inline.get(..self.len).unwrap_or_default() }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len > INLINE { &mut self.heap } else { self.inline.get_mut(..self.len).unwrap_or_default() }
    }

    /// What stands behind the first `at` bytes.
    pub(crate) fn after(&self, at: usize) -> &[u8] {
        self.bytes().get(at..).unwrap_or_default()
    }

    /// What stands behind the first `at` bytes, to be changed.
    pub(crate) fn after_mut(&mut self, at: usize) -> &mut [u8] {
        self.bytes_mut().get_mut(at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_homes_behave_alike() {
        for len in [0, 1, INLINE, INLINE + 1, 4000] {
            let mut work = Work::zeroed(len / 3, len - len / 3);
            assert_eq!(work.bytes().len(), len);
            if let Some(last) = work.bytes_mut().last_mut() {
                *last = 7;
            }
            assert_eq!(work.bytes().last().copied(), (len > 0).then_some(7));
            assert!(work.after(len + 1).is_empty());
        }
    }
}
