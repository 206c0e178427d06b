//! Message headers as correlation ids: a number in base 36, so that a header is printable in any character
//! set and a late reply is not taken for that of a newer request.

use crate::Error;
use std::collections::{HashMap, VecDeque};

const BASE: u64 = 36;

/// Ids that a header of this length can tell apart.
pub(crate) fn id_count(header_length: usize) -> u64 {
    (0..header_length.min(12)).fold(1, |n: u64, _| n.saturating_mul(BASE))
}

/// Appends the header of an id.
pub(crate) fn write_id(id: u64, header_length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = id;
    for _ in 0..header_length {
        let digit = u8::try_from(rest % BASE).unwrap_or_default();
        out.push(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 });
        rest /= BASE;
    }
    if let Some(header) = out.get_mut(start..) {
        header.reverse();
    }
}

/// The id of a header that [`write_id`] wrote.
pub(crate) fn read_id(header: &[u8]) -> Option<u64> {
    header.iter().try_fold(0u64, |n, c| {
        let digit = char::from(*c).to_digit(36).filter(|_| !c.is_ascii_lowercase())?;
        n.checked_mul(BASE)?.checked_add(u64::from(digit))
    })
}

/// What waits for replies, by id; in order when there is no header.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    header_length: usize,
    ids: u64,
    next: u64,
    by_id: HashMap<u64, T>,
    in_order: VecDeque<T>,
}

impl<T> Waiting<T> {
    pub(crate) fn new(header_length: usize) -> Self {
        let ids = id_count(header_length);
        Self { header_length, ids, next: 0, by_id: HashMap::new(), in_order: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len() + self.in_order.len()
    }

    /// How many more requests can be told apart.
    pub(crate) fn room(&self) -> usize {
        if self.header_length == 0 {
            return usize::MAX;
        }
        usize::try_from(self.ids).unwrap_or(usize::MAX).saturating_sub(self.by_id.len())
    }

    /// Appends a header that no other request in flight has, and remembers who waits for it. There must be
    /// [`Self::room`].
    pub(crate) fn add(&mut self, waiter: T, out: &mut Vec<u8>) {
        if self.header_length == 0 {
            self.in_order.push_back(waiter);
            return;
        }
        while self.by_id.contains_key(&(self.next % self.ids)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next % self.ids;
        self.next = self.next.wrapping_add(1);
        write_id(id, self.header_length, out);
        self.by_id.insert(id, waiter);
    }

    /// Who waits for this frame, and the frame behind its header.
    pub(crate) fn take<'f>(&mut self, frame: &'f [u8]) -> Result<(T, &'f [u8]), Error> {
        let (header, rest) = frame.split_at_checked(self.header_length).ok_or(Error::Reply)?;
        let waiter = if self.header_length == 0 {
            self.in_order.pop_front()
        } else {
            read_id(header).and_then(|id| self.by_id.remove(&id))
        };
        waiter.map(|waiter| (waiter, rest)).ok_or(Error::Reply)
    }

    /// Everything that still waits, in any order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.by_id.drain().map(|(_, waiter)| waiter).chain(self.in_order.drain(..))
    }

    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.in_order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fill_the_header_and_come_back() {
        for (length, id) in [(1, 35), (4, 0), (4, 1_679_615), (12, 77)] {
            let mut header = Vec::new();
            write_id(id, length, &mut header);
            assert_eq!((header.len(), read_id(&header)), (length, Some(id)));
        }
        assert_eq!(id_count(4), 1_679_616);
        assert_eq!(read_id(b"00a0"), None);
        assert_eq!(read_id(b"000\n"), None);
    }

    #[test]
    fn replies_find_their_waiters_in_any_order_and_once() {
        let mut waiting = Waiting::new(4);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        waiting.add('a', &mut a);
        waiting.add('b', &mut b);
        b.extend(b"B300");
        assert_eq!(waiting.take(&b).unwrap(), ('b', b"B300".as_slice()));
        assert!(matches!(waiting.take(&b), Err(Error::Reply)));
        assert_eq!(waiting.take(&a).unwrap().0, 'a');
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn an_id_in_flight_is_not_given_twice() {
        let mut waiting = Waiting::new(1);
        let headers: Vec<Vec<u8>> = (0..36)
            .map(|n| {
                assert!(waiting.room() > 0);
                let mut header = Vec::new();
                waiting.add(n, &mut header);
                header
            })
            .collect();
        assert_eq!(waiting.room(), 0);
        assert_eq!(waiting.take(&headers[7]).unwrap().0, 7);
        let mut again = Vec::new();
        waiting.add(99, &mut again);
        assert_eq!(again, headers[7]);
    }

    #[test]
    fn without_a_header_order_decides() {
        let mut waiting = Waiting::new(0);
        waiting.add(1, &mut Vec::new());
        waiting.add(2, &mut Vec::new());
        assert_eq!(waiting.take(b"ND00").unwrap().0, 1);
        assert_eq!(waiting.take(b"ND00").unwrap().0, 2);
    }
}
