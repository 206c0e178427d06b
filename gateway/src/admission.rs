//! Who may connect: counts connections in all and per address. Touched at accept and at close only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a connection was turned away or ended by us; the label of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    AllowList,
    Total,
    PerAddress,
    Descriptors,
    Handshake,
    FirstByte,
    WholeFrame,
    Idle,
    WriteStall,
}

impl Reason {
    pub(crate) const ALL: [Self; 9] = [
        Self::AllowList,
        Self::Total,
        Self::PerAddress,
        Self::Descriptors,
        Self::Handshake,
        Self::FirstByte,
        Self::WholeFrame,
        Self::Idle,
        Self::WriteStall,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AllowList => "allow_list",
            Self::Total => "total",
            Self::PerAddress => "per_address",
            Self::Descriptors => "descriptors",
            Self::Handshake => "tls_handshake",
            Self::FirstByte => "first_byte",
            Self::WholeFrame => "whole_frame",
            Self::Idle => "idle",
            Self::WriteStall => "write_stall",
        }
    }
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The counts of a gateway.
pub(crate) struct Admission {
    total_max: usize,
    address_max: usize,
    counts: Mutex<Counts>,
}

impl Admission {
    pub(crate) fn new(total_max: usize, address_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, address_max, counts: Mutex::default() })
    }

    /// Counts a connection in, until the permit goes.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Reason> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total_max {
            return Err(Reason::Total);
        }
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= self.address_max {
            // An entry made just now would stay for ever.
            if *of_address == 0 {
                counts.by_address.remove(&address);
            }
            return Err(Reason::PerAddress);
        }
        *of_address = of_address.saturating_add(1);
        counts.total = counts.total.saturating_add(1);
        Ok(Permit { admission: Arc::clone(self), address })
    }

    fn leave(&self, address: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(of_address) = counts.by_address.get_mut(&address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// A connection that was counted in.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.leave(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn both_limits_hold_and_places_come_back() {
        let door = Admission::new(3, 2);
        let first = door.admit(A).unwrap_or_else(|r| panic!("{r:?}"));
        let _second = door.admit(A).map_err(Reason::name).unwrap();
        assert_eq!(door.admit(A).err(), Some(Reason::PerAddress));
        let third = door.admit(B).map_err(Reason::name).unwrap();
        assert_eq!(door.admit(B).err(), Some(Reason::Total));
        drop(first);
        assert!(door.admit(A).is_ok());
        drop(third);
        assert_eq!(door.counts.lock().unwrap().by_address.len(), 1, "addresses without connections go");
    }

    #[test]
    fn a_limit_of_nothing_leaves_no_entry_behind() {
        let door = Admission::new(3, 0);
        assert_eq!(door.admit(A).err(), Some(Reason::PerAddress));
        assert!(door.counts.lock().unwrap().by_address.is_empty());
    }
}
