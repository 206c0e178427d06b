//! Room for connections, in all and of one address. When there is none left, the oldest goes and the newest stays: a
//! stranger who keeps connections open keeps nobody out, and descriptors for hosts are left.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The places of a listener.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    of_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    number: u64,
    // Oldest first.
    by: Vec<(u64, IpAddr, oneshot::Sender<()>)>,
}

/// A place; dropping it leaves it to the next.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    displaced: oneshot::Receiver<()>,
}

impl Places {
    pub(super) fn new(most: usize, of_address: usize) -> Arc<Self> {
        Arc::new(Self { most, of_address, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; the oldest of this address goes for it, or the oldest of all.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Place {
        let address = network(address);
        let mut taken = self.taken();
        let own = |(_, of, _): &(u64, IpAddr, oneshot::Sender<()>)| *of == address;
        if taken.by.iter().filter(|one| own(one)).count() >= self.of_address {
            if let Some(at) = taken.by.iter().position(own) {
                taken.by.remove(at);
            }
        } else if taken.by.len() >= self.most {
            taken.by.remove(0);
        }
        taken.number = taken.number.wrapping_add(1);
        let number = taken.number;
        let (stays, displaced) = oneshot::channel();
        taken.by.push((number, address, stays));
        drop(taken);
        Place { places: Arc::clone(self), number, displaced }
    }
}

impl Place {
    /// Ready when another connection takes this place.
    pub(super) async fn displaced(&mut self) {
        let _ = (&mut self.displaced).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by.retain(|(number, ..)| *number != self.number);
    }
}

// Whoever has an IPv6 address has its network of 64 bits (RFC 4291 section 2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(place: &mut Place) -> bool {
        place.displaced.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_oldest_makes_room() {
        let places = Places::new(4, 2);
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut stranger: Vec<_> = (0..3).map(|_| places.take(address(1))).collect();
        assert_eq!(stranger.iter_mut().map(goes).collect::<Vec<_>>(), [true, false, false]);
        let mut others = [places.take(address(2)), places.take(address(3))];
        assert!(!stranger.iter_mut().skip(1).any(goes));
        let mut last = places.take(address(4));
        assert_eq!(stranger.iter_mut().map(goes).collect::<Vec<_>>(), [true, true, false]);
        assert!(!others.iter_mut().any(goes) && !goes(&mut last));
        // Whoever was displaced takes nothing with it when it goes; whoever leaves makes room.
        drop(stranger);
        let mut more = places.take(address(5));
        assert!(!others.iter_mut().any(goes) && !goes(&mut last) && !goes(&mut more));
        assert_eq!(places.taken().by.len(), 4);
        drop((others, last, more));
        assert!(places.taken().by.is_empty());
    }

    #[test]
    fn addresses_of_one_network_share() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1") && !same("10.0.0.1", "10.0.0.2"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
    }
}
