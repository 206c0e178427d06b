//! Which of the receipts that wait go into a parcel. A manager that does not believe this node any more confirms none of
//! them; its last word, that it has erased its keys, must reach it all the same.

use keylink::message::{Parcel, Receipt, ReceiptKind};
use keylink::{Digest, Signed};

/// Most receipts in one parcel.
const PARCEL_MAX: usize = 512;

/// The oldest, or what follows the receipt `told` where all do not fit: the manager has seen those before it and has
/// confirmed none. After the last it begins anew.
pub(super) fn window(outbox: &[Signed], told: Option<Digest>) -> &[Signed] {
    let told = told.filter(|_| outbox.len() > PARCEL_MAX);
    let at = told.and_then(|told| outbox.iter().position(|receipt| receipt.hash() == told));
    let rest = at.and_then(|at| outbox.get(at.saturating_add(1)..)).filter(|rest| !rest.is_empty());
    let rest = rest.unwrap_or(outbox);
    rest.get(..PARCEL_MAX).unwrap_or(rest)
}

/// The last receipt of a parcel.
pub(super) fn last_receipt(parcel: &Parcel) -> Option<Digest> {
    parcel.messages.iter().rfind(|one| one.kind == "receipt").map(Signed::hash)
}

/// Puts the last word into a parcel that it does not fit in. A file is written by a process of its own, which does not
/// know what the one before has written.
pub(super) fn add_last_word(parcel: &mut Parcel, outbox: &[Signed]) {
    let is_last_word =
        |one: &&Signed| one.peek::<Receipt>().is_ok_and(|receipt| receipt.kind == ReceiptKind::Zeroised);
    if let Some(last) = outbox.last().filter(is_last_word)
        && !parcel.messages.contains(last)
    {
        parcel.messages.push(last.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylink::message::{Audience, Head};
    use keylink::wire::U64;
    use keylink::{KmcId, NodeId, SoftSigner};

    fn receipt(number: u64, kind: ReceiptKind) -> Signed {
        let head = Head {
            version: 1,
            kmc: KmcId([1; 32]),
            audience: Audience::Kmc,
            epoch: U64(1),
            seq: U64(number),
            not_after: U64(1),
        };
        let body = Receipt {
            head,
            node: NodeId([2; 32]),
            boot_id: U64(1),
            previous: None,
            kind,
            campaign: None,
            key_set: None,
            generation: None,
            usage: None,
            kcv: None,
            block: None,
            message_seq: U64(1),
            message: Digest([3; 32]),
            possession: None,
            utc_ms: U64(1),
            checkpoint: None,
        };
        Signed::seal(&body, &SoftSigner::new(&[4; 32]))
    }

    fn outbox(size: usize) -> Vec<Signed> {
        let last = u64::try_from(size).unwrap();
        let kind = |number| if number == last { ReceiptKind::Zeroised } else { ReceiptKind::Destroyed };
        (1..=last).map(|number| receipt(number, kind(number))).collect()
    }

    fn parcel(outbox: &[Signed], told: Option<Digest>) -> Parcel {
        Parcel { messages: window(outbox, told).to_vec() }
    }

    #[test]
    fn what_fits_is_said_whole_and_again() {
        let outbox = outbox(PARCEL_MAX);
        for told in [None, Some(outbox[9].hash()), outbox.last().map(Signed::hash)] {
            assert_eq!(window(&outbox, told), outbox);
        }
        assert!(window(&[], None).is_empty());
    }

    // As a node in quarantine has it: the last receipt is reached, and then nothing is new.
    #[test]
    fn what_does_not_fit_follows_although_nothing_was_confirmed() {
        let outbox = outbox(PARCEL_MAX * 2 + 3);
        let mut told = None;
        for sizes in [PARCEL_MAX, PARCEL_MAX, 3, PARCEL_MAX] {
            let parcel = parcel(&outbox, told);
            assert_eq!(parcel.messages.len(), sizes);
            told = last_receipt(&parcel);
            assert_eq!(told == outbox.last().map(Signed::hash), sizes == 3);
        }
        // What was confirmed is not in the outbox any more: the oldest of the rest comes first.
        let first = outbox[0].hash();
        assert_eq!(window(&outbox[1..], Some(first)), &outbox[1..=PARCEL_MAX]);
    }

    #[test]
    fn a_file_ends_with_the_last_word() {
        let long = outbox(PARCEL_MAX + 88);
        let mut file = parcel(&long, None);
        add_last_word(&mut file, &long);
        assert_eq!((file.messages.len(), file.messages.last()), (PARCEL_MAX + 1, long.last()));
        // Once, and only that.
        add_last_word(&mut file, &long);
        assert_eq!(file.messages.len(), PARCEL_MAX + 1);
        let mut other = parcel(&long, None);
        add_last_word(&mut other, &long[..PARCEL_MAX + 9]);
        assert_eq!(other.messages.len(), PARCEL_MAX);
    }
}
