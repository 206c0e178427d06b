//! The lanes against the `des` crate: random keys, blocks, key lengths and directions, every engine of this
//! CPU, every batch size from 1 to 1024, and beyond.

use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2, TdesEde3};
use tdes_lanes::{Direction, Engine, Job, Lanes};

/// Reproducible numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}

#[derive(Clone, Copy)]
struct Case {
    keys: [u64; 3],
    count: usize,
    block: u64,
    direction: Direction,
}

impl Case {
    fn random(numbers: &mut Numbers) -> Self {
        let dice = numbers.next();
        Self {
            keys: core::array::from_fn(|_| numbers.next()),
            count: [1, 2, 2, 3][(dice & 3) as usize],
            block: numbers.next(),
            direction: if dice & 4 == 0 { Direction::Encrypt } else { Direction::Decrypt },
        }
    }

    fn job(&self) -> Job {
        let bytes: Vec<u8> = self.keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        Job::with_key(&bytes[..8 * self.count], self.block.to_be_bytes(), self.direction)
            .expect("a key length")
    }

    fn by_des_crate(&self) -> u64 {
        let bytes: Vec<u8> = self.keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        match self.count {
            1 => self.by::<Des>(&bytes[..8]),
            2 => self.by::<TdesEde2>(&bytes[..16]),
            _ => self.by::<TdesEde3>(&bytes),
        }
    }

    fn by<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt>(&self, key: &[u8]) -> u64 {
        let cipher = C::new_from_slice(key).expect("a key length");
        let mut block = Block::<C>::try_from(&self.block.to_be_bytes()[..]).expect("eight bytes");
        match self.direction {
            Direction::Encrypt => cipher.encrypt_block(&mut block),
            Direction::Decrypt => cipher.decrypt_block(&mut block),
        }
        u64::from_be_bytes(block.as_slice().try_into().expect("eight bytes"))
    }
}

fn engines() -> Vec<(String, Lanes)> {
    let forced = Engine::ALL.into_iter().filter_map(|e| Some((format!("{e:?}"), Lanes::with_engine(e)?)));
    forced.chain([("chosen".to_string(), Lanes::new())]).collect()
}

fn check(name: &str, lanes: &mut Lanes, cases: &[(Case, u64)]) {
    let mut jobs: Vec<Job> = cases.iter().map(|(case, _)| case.job()).collect();
    lanes.run(&mut jobs);
    for (n, (job, (_, expected))) in jobs.iter().zip(cases).enumerate() {
        assert_eq!(job.block(), *expected, "{name}, job {n} of {}", cases.len());
    }
}

/// About 1.05 million comparisons for each engine: 524,800 by the sizes 1 to 1024, and as many again in runs
/// of 4,100. The `des` crate computes each of 65,536 cases once; runs take windows of them.
#[test]
fn agrees_with_the_des_crate_at_every_batch_size() {
    let mut numbers = Numbers(20_261_125);
    let cases: Vec<(Case, u64)> = (0..65_536)
        .map(|_| {
            let case = Case::random(&mut numbers);
            (case, case.by_des_crate())
        })
        .collect();
    for (name, mut lanes) in engines() {
        for size in 1..=1024 {
            let start = (numbers.next() % (cases.len() - size) as u64) as usize;
            check(&name, &mut lanes, &cases[start..start + size]);
        }
        for _ in 0..128 {
            let start = (numbers.next() % (cases.len() - 4_100) as u64) as usize;
            check(&name, &mut lanes, &cases[start..start + 4_100]);
        }
    }
}

/// Runs in which all jobs are of one kind take other code than mixed ones.
#[test]
fn uniform_runs_agree_with_the_des_crate() {
    let mut numbers = Numbers(5);
    for (name, mut lanes) in engines() {
        for (count, direction) in
            [1, 2, 3].iter().flat_map(|&n| [(n, Direction::Encrypt), (n, Direction::Decrypt)])
        {
            for size in [1, 63, 64, 65, 255, 256, 257, 319, 320, 511, 512, 513, 1000] {
                let cases: Vec<(Case, u64)> = (0..size)
                    .map(|_| {
                        let case = Case { count, direction, ..Case::random(&mut numbers) };
                        (case, case.by_des_crate())
                    })
                    .collect();
                check(&name, &mut lanes, &cases);
            }
        }
    }
}

/// Two million cases that are all different, on every engine.
#[test]
fn agrees_with_the_des_crate_on_millions_of_cases() {
    let mut numbers = Numbers(99);
    let mut engines = engines();
    for _ in 0..2_048 {
        let size = 1 + (numbers.next() % 2_047) as usize;
        let cases: Vec<(Case, u64)> = (0..size)
            .map(|_| {
                let case = Case::random(&mut numbers);
                (case, case.by_des_crate())
            })
            .collect();
        for (name, lanes) in &mut engines {
            check(name, lanes, &cases);
        }
    }
}
