//! Places for connections: so many at once, and so many of them for one owner. Whoever comes when the own share is
//! full takes the place of the oldest connection of that owner: a flood displaces itself, and never a newcomer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Places at once.
    pub total: usize,
    /// Of them for one owner.
    pub each: usize,
}

/// When all places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// The oldest of all goes.
    OldestGoes,
    /// Whoever comes goes.
    NewestGoes,
}

struct Held<K> {
    next: u64,
    // By age. The sender is dropped to displace.
    all: BTreeMap<u64, (K, oneshot::Sender<()>)>,
    own: HashMap<K, BTreeSet<u64>>,
}

impl<K: Hash + Eq> Held<K> {
    fn leave(&mut self, number: u64) {
        let Some((owner, _)) = self.all.remove(&number) else { return };
        if let Some(own) = self.own.get_mut(&owner) {
            own.remove(&number);
            if own.is_empty() {
                self.own.remove(&owner);
            }
        }
    }
}

/// The places of one share.
pub(super) struct Places<K> {
    share: Share,
    when_full: WhenFull,
    held: Mutex<Held<K>>,
}

impl<K: Hash + Eq + Clone> Places<K> {
    pub(super) fn new(share: Share, when_full: WhenFull) -> Arc<Self> {
        let held = Held { next: 0, all: BTreeMap::new(), own: HashMap::new() };
        Arc::new(Self { share, when_full, held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, when there is one.
    pub(super) fn take(self: &Arc<Self>, owner: K) -> Option<Place<K>> {
        let mut held = self.held();
        let own = held.own.get(&owner).filter(|own| own.len() >= self.share.each);
        if let Some(oldest) = own.map(|own| own.first().copied()) {
            held.leave(oldest?);
        } else if held.all.len() >= self.share.total {
            let oldest = held.all.keys().next().copied();
            held.leave(oldest.filter(|_| self.when_full == WhenFull::OldestGoes)?);
        }
        let number = held.next;
        held.next += 1;
        let (sender, displaced) = oneshot::channel();
        held.all.insert(number, (owner.clone(), sender));
        held.own.entry(owner).or_default().insert(number);
        drop(held);
        Some(Place { places: Arc::clone(self), number, displaced })
    }
}

/// A place that is held until this is dropped, or displaced before.
pub(super) struct Place<K: Hash + Eq + Clone> {
    places: Arc<Places<K>>,
    number: u64,
    displaced: oneshot::Receiver<()>,
}

impl<K: Hash + Eq + Clone> Place<K> {
    /// Ready when somebody else has got it.
    pub(super) async fn displaced(&mut self) {
        let _ = (&mut self.displaced).await;
    }
}

impl<K: Hash + Eq + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        self.places.held().leave(self.number);
    }
}

/// What counts as one address: of IPv6 the /64, all of which one host may have.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_displaced<K: Hash + Eq + Clone>(place: &mut Place<K>) -> bool {
        !matches!(place.displaced.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn a_flood_displaces_itself() {
        let places = Places::new(Share { total: 4, each: 2 }, WhenFull::OldestGoes);
        let mut quiet = places.take("b").unwrap();
        let mut flood: Vec<_> = (0..9).map(|_| places.take("a").unwrap()).collect();
        let gone = flood.iter_mut().filter_map(|place| is_displaced(place).then_some(())).count();
        assert_eq!((gone, is_displaced(&mut quiet)), (7, false));
        // All are taken: the oldest of all goes, whoever it is.
        let mut more: Vec<_> = ["c", "d"].map(|owner| places.take(owner).unwrap()).into();
        assert!(is_displaced(&mut quiet) && !more.iter_mut().any(is_displaced));
        // What was displaced frees nothing when it ends.
        drop(flood);
        drop((quiet, more));
        assert!(places.held().all.is_empty() && places.held().own.is_empty());
    }

    #[test]
    fn who_is_known_is_not_displaced_by_others() {
        let places = Places::new(Share { total: 2, each: 2 }, WhenFull::NewestGoes);
        let mut own = [places.take(1).unwrap(), places.take(1).unwrap()];
        assert!(places.take(2).is_none());
        let _third = places.take(1).unwrap();
        assert_eq!(own.each_mut().map(is_displaced), [true, false]);
        drop(own);
        assert!(places.take(2).is_some());
    }

    #[test]
    fn an_address_is_what_one_host_has() {
        let net = |text: &str| network(text.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:0:0:2"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
        assert_ne!(net("192.0.2.1"), net("192.0.2.2"));
    }
}
