//! A working key of TDES DUKPT that the simulator derives in one operation is the one that the formula gives step by step.

use cardcrypto::dukpt::tdes::{self, Purpose, TransactionKey};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hsm::Hsm;
use hsm_sim::{LmkSet, Options, RandomSource, Simulator};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Cipher, CipherKind, ClearKey, Ksn, now};

fn drive<T>(task: impl AsyncFnOnce(Hsm) -> T) -> T {
    let options = Options { random: RandomSource::seeded(3) };
    let mut sim = Simulator::new(&LmkSet::public_test(), options).unwrap();
    let hsm = Hsm::new();
    let mut future = pin!(task(hsm.clone()));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => hsm.run(&mut sim),
        }
    }
}

fn by_steps(bdk: &[u8], ksn: &Ksn, purpose: Purpose) -> ClearKey {
    let bdk = SoftKey::new(CipherKind::Tdes, bdk).unwrap();
    let transaction = now(TransactionKey::derive(&Soft, &bdk, ksn)).unwrap().unwrap();
    now(transaction.working_clear(&Soft, purpose)).unwrap().unwrap()
}

// Counters of one to ten ones, all purposes, several devices and base keys: all derived in one batch.
#[test]
fn all_at_once_are_as_by_steps() {
    let bdks = [[0x3Bu8; 16], core::array::from_fn(|n| (n as u8 * 17) ^ 0x5A)];
    let counters = [1, 2, 3, 0x10_0000, 0x1F_F800, 0x15_5555 & !1, 0x3FF, 0x800, 0x0F_0F00];
    let mut wanted = Vec::new();
    for (device, counter) in (0u64..).zip(counters) {
        let tail = (0x1234_5678_90E0_0000 ^ (device << 21)
            | u64::from(tdes::judge_counter(counter).unwrap()))
        .to_be_bytes();
        let ksn = Ksn::new(&[&[0xFF, 0xFF][..], &tail].concat()).unwrap();
        wanted.extend(bdks.iter().flat_map(|bdk| Purpose::ALL.map(|purpose| (*bdk, ksn, purpose))));
    }
    let made: Vec<ClearKey> = drive(async |hsm: Hsm| {
        let mut tasks = Vec::new();
        for (bdk, ksn, purpose) in &wanted {
            let base = hsm.load(CipherKind::Tdes, bdk).await.unwrap();
            let hsm = hsm.clone();
            tasks.push(Box::pin(async move {
                let key = tdes::working_key(&hsm, &base, ksn, *purpose).await.unwrap();
                hsm.reveal(&key).await.unwrap()
            }));
        }
        let mut done: Vec<Option<ClearKey>> = tasks.iter().map(|_| None).collect();
        core::future::poll_fn(|cx| {
            for (task, done) in tasks.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(key) = task.as_mut().poll(cx) {
                    *done = Some(*key);
                }
            }
            if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        done.into_iter().flatten().collect()
    });
    assert_eq!(made.len(), 90);
    for ((bdk, ksn, purpose), made) in wanted.iter().zip(made) {
        assert!(made.same_as(&by_steps(bdk, ksn, *purpose)), "{ksn:?} {purpose:?}");
    }
}
