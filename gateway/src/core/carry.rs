//! The begin of a frame whose end has not come yet. Released when empty, so that an idle connection holds
//! no buffer; wiped whenever memory is given back, since a frame may carry a clear PIN.

use zeroize::Zeroize;

const SMALLEST: usize = 128;

/// Bytes of an unfinished frame.
#[derive(Default)]
pub(crate) struct Carry(Vec<u8>);

impl Carry {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds `rest` instead of what it held.
    pub(crate) fn replace(&mut self, rest: &[u8]) {
        self.0.zeroize();
        if rest.is_empty() {
            self.0 = Vec::new();
        } else {
            self.append(rest);
        }
    }

    /// Grows by what really came, never by what a length field announces.
    pub(crate) fn append(&mut self, more: &[u8]) {
        let length = self.0.len().saturating_add(more.len());
        if length > self.0.capacity() {
            let mut larger = Vec::with_capacity(length.next_power_of_two().max(SMALLEST));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(more);
    }
}

impl Drop for Carry {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_what_came_and_is_released_when_empty() {
        let mut carry = Carry::default();
        carry.append(b"\xFF\xFFHEAD");
        assert_eq!(carry.0.capacity(), SMALLEST);
        carry.append(&[1; 200]);
        assert_eq!((carry.bytes().len(), carry.bytes()[..6].to_vec()), (206, b"\xFF\xFFHEAD".to_vec()));
        carry.replace(b"x");
        assert_eq!(carry.bytes(), b"x");
        carry.replace(&[]);
        assert_eq!((carry.is_empty(), carry.0.capacity()), (true, 0));
    }
}
