//! The device's side of TDES DUKPT (ANSI X9.24-1:2009 annex A, processing algorithm): 21 future key registers
//! in place of the initial key. What was used is gone, so an opened device tells nothing about its past.

use super::{COUNTER_BITS, COUNTER_ONES_MAX, InitialKey, TransactionKey, next_counter, step};
use crate::CardError;
use paytypes::{Cipher, ClearKey, Ksn};

const REGISTERS: usize = COUNTER_BITS as usize;

/// A terminal or PIN pad. It holds no base key and, once made, no initial key. `Debug` shows the counter.
///
/// ```
/// use cardcrypto::dukpt::{Bdk, tdes::Device};
/// use paytypes::soft::{Soft, SoftKey};
/// use paytypes::{CipherKind, Ksn, now};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ksn = Ksn::new(&paytypes::hex::decode::<10>(b"FFFF9876543210E00000")?)?;
/// now(async {
///     let bdk = Bdk::new(&Soft, SoftKey::new(CipherKind::Tdes, &[0x3B; 16])?)?;
///     let mut device = Device::load(&Soft, &bdk.tdes_initial(&Soft, &ksn).await?).await?;
///     let (sent, key) = device.next(&Soft).await?;
///     assert_eq!(sent.counter(), 1);
///     // The host comes to the same key from the number that was sent.
///     assert!(bdk.tdes_transaction(&Soft, &sent).await?.expose().same_as(key.expose()));
///     Ok::<_, cardcrypto::CardError>(())
/// }).ok_or("software is ready at once")??;
/// # Ok(())
/// # }
/// ```
pub struct Device {
    // By the bit of the counter that asks for the key.
    registers: [Option<ClearKey>; REGISTERS],
    ksn: [u8; 10],
    // Of the next transaction; `None` when the device has made its last.
    counter: Option<u32>,
}

impl Device {
    /// Loads an initial key: every register gets its first key, the first transaction will have counter 1.
    pub async fn load<C: Cipher>(cipher: &C, initial: &InitialKey) -> Result<Self, CardError> {
        let mut registers = [const { None }; REGISTERS];
        fill(cipher, &initial.key, initial.ksn, 0, &mut registers).await?;
        Ok(Self { registers, ksn: initial.ksn, counter: next_counter(0) })
    }

    /// Counter of the next transaction; `None` when the device needs a new initial key.
    pub const fn counter(&self) -> Option<u32> {
        self.counter
    }

    /// Starts a transaction: its number, which is sent to the host, and its key, which no register holds any
    /// more. [`CardError::Counter`] when the device is exhausted. When the cipher fails, nothing has changed.
    pub async fn next<C: Cipher>(&mut self, cipher: &C) -> Result<(Ksn, TransactionKey), CardError> {
        let counter = self.counter.ok_or(CardError::Counter)?;
        let bit = usize::try_from(counter.trailing_zeros()).unwrap_or_default();
        let (below, from) = self.registers.split_at_mut_checked(bit).ok_or(CardError::Counter)?;
        let key = from.first_mut().ok_or(CardError::Counter)?;
        let current = key.as_ref().ok_or(CardError::Counter)?;
        // Counters with more ones than allowed are skipped, so nothing is kept for them.
        if counter.count_ones() < COUNTER_ONES_MAX {
            let mut future = [const { None }; REGISTERS];
            let future = future.get_mut(..bit).unwrap_or_default();
            fill(cipher, current, self.ksn, counter, future).await?;
            below.swap_with_slice(future);
        }
        let current = key.take().ok_or(CardError::Counter)?;
        self.counter = next_counter(counter);
        Ok((numbered(self.ksn, counter), TransactionKey(current)))
    }
}

// One key for each register below the counter's lowest one bit.
async fn fill<C: Cipher>(
    cipher: &C,
    key: &ClearKey,
    ksn: [u8; 10],
    counter: u32,
    registers: &mut [Option<ClearKey>],
) -> Result<(), CardError> {
    let [_, _, base @ ..] = ksn;
    for (bit, register) in (0u32..).zip(registers) {
        let shown = u64::from(counter | 1u32.wrapping_shl(bit));
        *register = Some(step(cipher, key, (u64::from_be_bytes(base) | shown).to_be_bytes()).await?);
    }
    Ok(())
}

fn numbered(ksn: [u8; 10], counter: u32) -> Ksn {
    let [a, b, base @ ..] = ksn;
    let [c, d, e, f, g, h, i, j] = (u64::from_be_bytes(base) | u64::from(counter)).to_be_bytes();
    Ksn::Tdes([a, b, c, d, e, f, g, h, i, j])
}

impl core::fmt::Debug for Device {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.counter {
            Some(counter) => write!(f, "Device(TDES, counter {counter})"),
            None => f.write_str("Device(TDES, exhausted)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{CipherKind, now};

    assert_lacks!(Device: Clone, PartialEq, core::fmt::Display);

    fn initial() -> InitialKey {
        let bdk = SoftKey::new(CipherKind::Tdes, &[0x3B; 16]).unwrap();
        let ksn = Ksn::new(&[0xFF, 0xFF, 0x98, 0x76, 0x54, 0x32, 0x10, 0xE0, 0, 0]).unwrap();
        now(InitialKey::derive(&Soft, &bdk, &ksn)).unwrap().unwrap()
    }

    fn device() -> Device {
        now(Device::load(&Soft, &initial())).unwrap().unwrap()
    }

    fn held(device: &Device) -> usize {
        device.registers.iter().flatten().count()
    }

    #[test]
    fn host_and_device_agree_on_every_transaction() {
        let (initial, mut device) = (initial(), device());
        assert_eq!((device.counter(), held(&device)), (Some(1), 21));
        let mut counter = 0;
        for _ in 0..5000 {
            let (ksn, key) = now(device.next(&Soft)).unwrap().unwrap();
            counter = next_counter(counter).unwrap();
            assert_eq!((ksn.counter(), &ksn.as_bytes()[..7]), (counter, &initial.ksn[..7]));
            let host = now(initial.transaction_key(&Soft, counter)).unwrap().unwrap();
            assert!(host.expose().same_as(key.expose()), "{counter:#x}");
        }
        assert_eq!(
            format!("{device:?}"),
            format!("Device(TDES, counter {})", next_counter(counter).unwrap())
        );
    }

    #[test]
    fn a_used_key_is_in_no_register() {
        let mut device = device();
        for _ in 0..600 {
            let (_, key) = now(device.next(&Soft)).unwrap().unwrap();
            assert!(!device.registers.iter().flatten().any(|kept| kept.same_as(key.expose())));
        }
    }

    // The last counter has ten ones: its key is given out, and then there is nothing left.
    #[test]
    fn the_last_transaction_ends_the_device() {
        let (last, mut device) = (0x1F_F800, device());
        let host = now(initial().transaction_key(&Soft, last)).unwrap().unwrap();
        device.registers = [const { None }; REGISTERS];
        device.registers[11] = Some(host.expose().duplicate());
        device.counter = Some(last);
        let (ksn, key) = now(device.next(&Soft)).unwrap().unwrap();
        assert_eq!(ksn.counter(), last);
        assert!(key.expose().same_as(host.expose()));
        assert_eq!((device.counter(), held(&device)), (None, 0));
        assert_eq!(now(device.next(&Soft)).unwrap().unwrap_err(), CardError::Counter);
        assert_eq!(format!("{device:?}"), "Device(TDES, exhausted)");
    }
}
