//! Session objects of a backend, bounded in number. A key holds tickets; what a ticket stands for may be gone,
//! then the object is made anew. Objects of the running batch are not evicted.

use std::cell::RefCell;
use std::rc::Rc;

/// Names an object that was there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    place: usize,
    generation: u64,
}

/// Tickets of keys that are gone. Destroying their objects waits for the next batch, so that dropping a key
/// needs no session.
pub(crate) type Dropped = Rc<RefCell<Vec<Ticket>>>;

#[derive(Debug)]
struct Place<H> {
    generation: u64,
    object: Option<H>,
    round: u64,
}

/// The objects.
#[derive(Debug)]
pub(crate) struct Objects<H> {
    places: Vec<Place<H>>,
    free: Vec<usize>,
    most: usize,
    hand: usize,
    generation: u64,
    round: u64,
    dropped: Dropped,
}

impl<H: Copy> Objects<H> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            most: most.max(1),
            hand: 0,
            generation: 0,
            round: 0,
            dropped: Dropped::default(),
        }
    }

    /// Where keys put their tickets when they go.
    pub(crate) fn dropped(&self) -> Dropped {
        Rc::clone(&self.dropped)
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }

    /// Begins a batch; gives the objects whose keys are gone, to be destroyed.
    pub(crate) fn begin(&mut self) -> Vec<H> {
        self.round = self.round.wrapping_add(1);
        let dropped = core::mem::take(&mut *self.dropped.borrow_mut());
        dropped.into_iter().filter_map(|ticket| self.remove(ticket)).collect()
    }

    /// The object of a ticket, kept for the rest of the batch.
    pub(crate) fn get(&mut self, ticket: Ticket) -> Option<H> {
        let place = self.places.get_mut(ticket.place).filter(|p| p.generation == ticket.generation)?;
        place.round = self.round;
        place.object
    }

    /// An object that must go before another is made; `None` while there is room, or when the batch itself
    /// needs more than there should be.
    pub(crate) fn evict(&mut self) -> Option<H> {
        if self.len() < self.most {
            return None;
        }
        // The one that was not used for the longest time of a few: the batch before this one is still warm.
        let count = self.places.len();
        let mut oldest: Option<(usize, u64)> = None;
        for step in 0..count {
            let at = self.hand.wrapping_add(step).checked_rem(count).unwrap_or_default();
            let Some(place) = self.places.get(at) else { continue };
            if place.object.is_some()
                && place.round != self.round
                && oldest.is_none_or(|(_, r)| place.round < r)
            {
                oldest = Some((at, place.round));
            }
            if step >= 16 && oldest.is_some() {
                break;
            }
        }
        let (at, _) = oldest?;
        self.hand = at.wrapping_add(1);
        self.empty(at)
    }

    /// Takes an object in.
    pub(crate) fn put(&mut self, object: H) -> Ticket {
        self.generation = self.generation.wrapping_add(1);
        let (generation, round) = (self.generation, self.round);
        let new = Place { generation, object: Some(object), round };
        let place = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.places.get_mut(at) {
                    *place = new;
                }
                at
            }
            None => {
                self.places.push(new);
                self.places.len().saturating_sub(1)
            }
        };
        Ticket { place, generation }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<H> {
        self.places.get(ticket.place).filter(|p| p.generation == ticket.generation)?;
        self.empty(ticket.place)
    }

    fn empty(&mut self, at: usize) -> Option<H> {
        let place = self.places.get_mut(at)?;
        place.generation = 0;
        let object = place.object.take();
        if object.is_some() {
            self.free.push(at);
        }
        object
    }

    /// The sessions are gone, and with them every object.
    pub(crate) fn forget(&mut self) {
        self.places.clear();
        self.free.clear();
        self.hand = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_tickets_of_the_evicted_are_void() {
        let mut objects = Objects::new(4);
        let mut tickets = Vec::new();
        for _ in 0..100 {
            assert!(objects.begin().is_empty());
            let evicted = objects.evict();
            assert_eq!(evicted.is_some(), tickets.len() >= 4);
            tickets.push(objects.put(7u64));
            assert!(objects.len() <= 4);
        }
        let alive = tickets.iter().filter(|ticket| objects.get(**ticket).is_some()).count();
        assert_eq!(alive, 4);
        assert!(objects.get(tickets[99]).is_some(), "the newest is there");
        objects.forget();
        assert!(tickets.iter().all(|ticket| objects.get(*ticket).is_none()));
    }

    #[test]
    fn a_batch_keeps_what_it_uses() {
        let mut objects = Objects::new(2);
        objects.begin();
        let tickets = [(); 3].map(|()| {
            assert!(objects.evict().is_none());
            objects.put(7u64)
        });
        assert!(tickets.iter().all(|ticket| objects.get(*ticket).is_some()));
        objects.begin();
        assert!(objects.get(tickets[0]).is_some());
        assert!(objects.evict().is_some());
        assert!(objects.evict().is_some());
        assert!(objects.get(tickets[0]).is_some(), "used in this batch");
    }

    #[test]
    fn what_keys_drop_is_destroyed_with_the_next_batch() {
        let mut objects = Objects::new(8);
        objects.begin();
        let ticket = objects.put(7u64);
        objects.dropped().borrow_mut().extend([ticket, ticket]);
        assert!(objects.get(ticket).is_some());
        assert_eq!(objects.begin().len(), 1);
        assert!(objects.get(ticket).is_none());
        let next = objects.put(7u64);
        objects.dropped().borrow_mut().push(ticket);
        assert!(objects.begin().is_empty(), "an old ticket does not name the new object");
        assert!(objects.get(next).is_some());
    }
}
