//! Random mutants of valid blocks: none is accepted. `PAYHSM_TR31_MUTANTS` says how many (the figure of the
//! project is 1,000,000), `PAYHSM_TR31_SEED` which; `--nocapture` shows what refused them.
#![allow(clippy::print_stderr)] // the report of the run

mod common;

use common::{attributes, counting, kbpk, lmk_keys, s_header};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, now};
use std::collections::BTreeMap;
use tr31::sblock::{SBlock, SKeys, SVersion, open, seal};
use tr31::{BlockId, Content, Header, Kbpk, KeyBlock, Masking, Policy, Version, wrap};

// xorshift64*: repeatable, and good enough to choose mutations.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}

enum Reader {
    Exchange(Kbpk<SoftKey>),
    Local(SKeys<SoftKey>),
}

struct Sample {
    reader: Reader,
    text: Vec<u8>,
    header: usize,
}

impl Sample {
    // The class of the refusal, or `None` when the text is accepted.
    fn refusal(&self, text: &[u8]) -> Option<&'static str> {
        let result = match &self.reader {
            Reader::Exchange(kbpk) => KeyBlock::parse(text)
                .and_then(|block| now(block.unwrap(&Soft, kbpk, &Policy::NONE)).unwrap().map(drop)),
            Reader::Local(keys) => {
                SBlock::parse(text).and_then(|block| now(open(&Soft, keys, &block)).unwrap().map(drop))
            }
        };
        result.err().map(|error| error.kind.class())
    }

    // Equal after hex decoding: the same header, the same bytes behind it.
    fn means_the_same(&self, text: &[u8]) -> bool {
        text.len() == self.text.len()
            && text[..self.header] == self.text[..self.header]
            && text[self.header..].eq_ignore_ascii_case(&self.text[self.header..])
    }
}

fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for version in Version::ALL {
        for length in [16, 24, 32] {
            if length == 32 && version.kind() == CipherKind::Tdes {
                continue;
            }
            let kbpk = kbpk(version, &[&[0x3C; 16][..], &[0x95; 8], &[0x61; 8]].concat()[..length]);
            for blocks in 0..4usize {
                let mut header = Header::new(version, attributes("P0", "T", "B", "c1", "E"));
                let contents = [
                    Content::Label("zone 7"),
                    Content::Stamped("20200818221218Z"),
                    Content::Other(BlockId(*b"1X"), &[b'x'; 300]),
                ];
                for content in &contents[..blocks] {
                    header.blocks.push_content(content).unwrap();
                }
                let mut padding = counting();
                let made =
                    wrap(&Soft, &kbpk, &header, &[0x5B; 24], Masking::Standard, &Policy::NONE, &mut padding);
                let text = now(made).unwrap().unwrap();
                let header = 16 + KeyBlock::parse(&text).unwrap().header().blocks.text().len();
                let kbpk =
                    common::kbpk(version, &[&[0x3C; 16][..], &[0x95; 8], &[0x61; 8]].concat()[..length]);
                all.push(Sample { reader: Reader::Exchange(kbpk), text, header });
            }
        }
    }
    for version in [SVersion::Tdes, SVersion::Aes] {
        let header = s_header(version, attributes("72", "T", "N", "00", "N"));
        let mut text = Vec::new();
        now(seal(&Soft, &lmk_keys(version), &header, &[0x5B; 16], &mut counting(), &mut text))
            .unwrap()
            .unwrap();
        all.push(Sample { reader: Reader::Local(lmk_keys(version)), text, header: 16 });
    }
    all
}

const HEX: &[u8] = b"0123456789ABCDEF";

// One to three changes of a kind that an attacker or a bad line makes.
fn mutated(sample: &Sample, others: &[Sample], dice: &mut Dice) -> Vec<u8> {
    let mut text = sample.text.clone();
    for _ in 0..=dice.below(3) {
        if text.is_empty() {
            break;
        }
        let at = dice.below(text.len());
        match dice.below(12) {
            0 => text[at] ^= 1 << dice.below(8),
            1 => text[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => text[at] = *dice.pick(HEX),
            3 => text[at] = text[at].to_ascii_lowercase(),
            4 => {
                let other = dice.below(text.len());
                text.swap(at, other);
            }
            5 => text.insert(at, *dice.pick(HEX)),
            6 => drop(text.remove(at)),
            7 => text.truncate(at.max(1)),
            8 => {
                let tail = dice.pick(others).text.clone();
                let from = dice.below(tail.len());
                text.truncate(at.max(1));
                text.extend(&tail[from..]);
            }
            9 => text[0] = *dice.pick(b"ABCDE01"),
            10 => {
                // A cipher block of key data taken from elsewhere.
                let donor = dice.pick(others);
                let (to, from) = (dice.below(text.len()), dice.below(donor.text.len()));
                for (t, f) in text[to..].iter_mut().zip(&donor.text[from..]).take(32) {
                    *t = *f;
                }
            }
            _ => {
                let count = dice.below(4);
                if let Some(room) = text.get_mut(12..14) {
                    room.copy_from_slice(format!("{count:02}").as_bytes());
                }
            }
        }
    }
    // Half of them with a length field that is right, so that later checks see them.
    if dice.below(2) == 0 {
        let length = format!("{:04}", text.len().min(9999));
        if let Some(room) = text.get_mut(1..5) {
            room.copy_from_slice(length.as_bytes());
        }
    }
    text
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn none_is_accepted() {
    let wanted = number("PAYHSM_TR31_MUTANTS", 100_000);
    let seed = number("PAYHSM_TR31_SEED", 0x9E37_79B9_7F4A_7C15);
    let (mut dice, samples) = (Dice(seed | 1), samples());
    for sample in &samples {
        assert_eq!(sample.refusal(&sample.text), None, "a valid block");
    }
    let mut classes = BTreeMap::<&str, u64>::new();
    let (mut made, mut same) = (0, 0);
    while made < wanted {
        let sample = dice.pick(&samples);
        let text = mutated(sample, &samples, &mut dice);
        // A splice may give another block that was made under the same key.
        if samples.iter().any(|valid| valid.means_the_same(&text)) {
            same += 1;
            continue;
        }
        made += 1;
        match sample.refusal(&text) {
            Some(class) => *classes.entry(class).or_default() += 1,
            None => panic!("accepted (seed {seed}): {}", String::from_utf8_lossy(&text)),
        }
    }
    let listed: Vec<_> = classes.iter().map(|(class, n)| format!("{class} {n}")).collect();
    let report = format!("{made} mutants, 0 accepted, {same} equal ones left out: {}", listed.join(", "));
    // Every kind of syntax check and the proof itself were met.
    assert!(classes.len() >= 12 && classes["mac_mismatch"] > wanted / 20, "{report}");
    eprintln!("{report}");
}
