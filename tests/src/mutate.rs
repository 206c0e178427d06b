//! Frames that are almost right: what an attacker sends who knows the layouts. Seeded, so that a failure can
//! be repeated.

/// Numbers of a seed (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below a limit; 0 when the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("small");
        usize::try_from(self.any() % limit).expect("small")
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.any().to_le_bytes()[0]
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const DELIMITERS: &[u8] = b";%#&!*~=^\x19<>KUTSRXYZJPN0";
const DIGITS: &[u8] = b"0123456789ABCDEFabcdefxz \x00\xFF";
/// Numbers that make a length or count lie.
const HUGE: [&[u8]; 6] = [b"FFFF", b"9999", b"0000", b"7FFF", b"99999", b"-001"];

/// A message that was right, changed in one to four places; in one place most often, since what is almost
/// right reaches deepest.
pub fn mutate(message: &[u8], others: &[Vec<u8>], n: &mut Numbers) -> Vec<u8> {
    let mut out = message.to_vec();
    let most = n.below(4);
    for _ in 0..=n.below(most + 1) {
        change(&mut out, others, n);
    }
    out.truncate(16_000);
    out
}

fn change(out: &mut Vec<u8>, others: &[Vec<u8>], n: &mut Numbers) {
    let at = n.below(out.len() + 1);
    match n.below(11) {
        0 => flip(out, at, n),
        1 => out.truncate(at),
        2 => replace(out, at, &[*n.one(DELIMITERS)]),
        3 => replace(out, at, &[*n.one(DIGITS)]),
        4 => insert(out, at, &[*n.one(DELIMITERS)]),
        5 => insert(out, at, &(0..n.below(40)).map(|_| n.byte()).collect::<Vec<u8>>()),
        6 => replace(out, at, n.one::<&[u8]>(&HUGE)),
        7 => {
            let length = n.below(20);
            drop(out.drain(at..(at + length).min(out.len())));
        }
        8 => splice(out, at, others, n),
        // Digits and capitals in EBCDIC where ASCII is due.
        9 => {
            out.iter_mut().skip(at).for_each(|c| *c = if c.is_ascii_digit() { *c + 0xC0 } else { *c | 0x80 })
        }
        _ => {
            let filler = *n.one(b"0F9A\x00\x19%");
            let length = n.below(2000);
            insert(out, at, &vec![filler; length]);
        }
    }
}

fn flip(out: &mut [u8], at: usize, n: &mut Numbers) {
    if let Some(byte) = out.get_mut(at) {
        *byte ^= 1 << n.below(8);
    }
}

fn replace(out: &mut [u8], at: usize, with: &[u8]) {
    out.iter_mut().skip(at).zip(with).for_each(|(old, new)| *old = *new);
}

fn insert(out: &mut Vec<u8>, at: usize, what: &[u8]) {
    drop(out.splice(at..at, what.iter().copied()));
}

// The end of another message behind the beginning of this one.
fn splice(out: &mut Vec<u8>, at: usize, others: &[Vec<u8>], n: &mut Numbers) {
    let other = n.one(others);
    let from = n.below(other.len());
    out.truncate(at);
    out.extend_from_slice(&other[from..]);
}

/// A message without sense.
pub fn noise(n: &mut Numbers) -> Vec<u8> {
    let length = n.below(200);
    let printable = n.below(2) == 0;
    (0..length).map(|_| if printable { b' ' + n.byte() % 95 } else { n.byte() }).collect()
}
