//! The rounds of DES over rows: a row holds one bit of every lane. Straight-line code: no branch and no
//! address depends on a row.
//!
//! Everything here is inlined into the functions of `engine`, which say what the CPU may do; there the loop
//! over the words of a row becomes vector instructions.

use crate::sboxes::Boxes;
use crate::wiring::{BOXES, BoxWires, REGISTER};
use zeroize::optimization_barrier;

/// One bit of each of `64 * N` lanes.
pub type Row<const N: usize> = [u64; N];

/// One half of the blocks of all lanes.
pub type Half<const N: usize> = [Row<N>; 32];

/// A register of the key schedule, written twice in a row so that turning it is reading further on. The
/// rows from 56 on are never read: with them every start below 32 leaves a whole register.
pub type Register<const N: usize> = [Row<N>; 64];

/// The registers C and D of one DES key of every lane, before the first turn.
#[derive(Clone)]
pub struct KeyRows<const N: usize> {
    /// Register C.
    pub c: Register<N>,
    /// Register D.
    pub d: Register<N>,
}

/// The turns of the rounds of one DES stage: [`TURNS`](crate::wiring::TURNS) to encrypt,
/// [`TURNS_BACK`](crate::wiring::TURNS_BACK) to decrypt.
pub type Turns = [[u8; 2]; 8];

/// The key registers as one round sees them.
#[derive(Clone, Copy)]
struct View<'a, const N: usize> {
    c: &'a [Row<N>; REGISTER],
    d: &'a [Row<N>; REGISTER],
}

/// Where a round takes its key bits from: the second view for lanes whose bit in the mask is set.
#[derive(Clone, Copy)]
struct RoundKey<'a, const N: usize> {
    first: View<'a, N>,
    second: View<'a, N>,
    mask: &'a Row<N>,
}

/// Sixteen rounds on the halves `l` and `r`, whose roles end as they began: `l` is the left half again.
///
/// With `MIXED`, lanes whose bit in `mask` is set take the turns `second` instead of `first`; every lane does
/// the work of both. Without, `second` and `mask` are not looked at.
#[inline(always)]
pub fn stage<B: Boxes, const N: usize, const MIXED: bool>(
    l: &mut Half<N>,
    r: &mut Half<N>,
    key: &KeyRows<N>,
    [first, second]: [&Turns; 2],
    mask: &Row<N>,
) {
    // A local that has to be aligned aligns the stack, and with it the registers that the rounds put aside:
    // across the end of a cache line each of these would cost as much as a dozen gates.
    let line = Line([u64::from(MIXED); 8]);
    optimization_barrier(&line);
    for ([odd, even], [odd2, even2]) in first.iter().zip(second) {
        let round_key =
            |turn: u8, turn2: u8| RoundKey { first: view(key, turn), second: view(key, turn2), mask };
        round::<B, N, MIXED>(l, r, round_key(*odd, *odd2));
        round::<B, N, MIXED>(r, l, round_key(*even, *even2));
    }
}

/// A cache line.
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "only its place matters")] [u64; 8]);

/// The registers turned left by `turn`, at most 28.
#[inline(always)]
fn view<const N: usize>(key: &KeyRows<N>, turn: u8) -> View<'_, N> {
    View { c: turned(&key.c, turn), d: turned(&key.d, turn) }
}

#[inline(always)]
fn turned<const N: usize>(register: &Register<N>, turn: u8) -> &[Row<N>; REGISTER] {
    let start = usize::from(turn & 31);
    match register.get(start..).and_then(<[Row<N>]>::first_chunk) {
        Some(turned) => turned,
        // 64 - 31 rows are left at least, which is more than a register.
        None => unreachable!("a register has 64 rows"),
    }
}

#[inline(always)]
fn round<B: Boxes, const N: usize, const MIXED: bool>(l: &mut Half<N>, r: &Half<N>, key: RoundKey<'_, N>) {
    add_boxes::<B, N, MIXED, 0, 1>(l, r, key);
    add_boxes::<B, N, MIXED, 2, 3>(l, r, key);
    add_boxes::<B, N, MIXED, 4, 5>(l, r, key);
    add_boxes::<B, N, MIXED, 6, 7>(l, r, key);
}

/// The work of two boxes, word by word of the rows. Two make the loop large enough for the compiler not to
/// unroll it instead of making vectors of it, and small enough to be understood.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "words below N")]
fn add_boxes<B: Boxes, const N: usize, const MIXED: bool, const S: usize, const T: usize>(
    l: &mut Half<N>,
    r: &Half<N>,
    key: RoundKey<'_, N>,
) {
    for word in 0..N {
        let mut halves = Halves { l, r, word };
        let subkey = |bit: usize| {
            let first = key_bit(key.first, bit)[word];
            if MIXED { first ^ ((first ^ key_bit(key.second, bit)[word]) & key.mask[word]) } else { first }
        };
        halves.add_box::<B, S>(subkey);
        halves.add_box::<B, T>(subkey);
    }
}

/// One word of each row of the halves.
struct Halves<'a, const N: usize> {
    l: &'a mut Half<N>,
    r: &'a Half<N>,
    word: usize,
}

impl<const N: usize> Halves<'_, N> {
    /// Adds what box `S` makes of the right half and the round key to the left half.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "positions of the wiring and words below N")]
    fn add_box<B: Boxes, const S: usize>(&mut self, subkey: impl Fn(usize) -> u64) {
        let BoxWires { data, key, out } = const { &BOXES[S] };
        // Written out: closures and iterators would leave it to chance whether the loop becomes vector code.
        let [a, b, c, d] = B::apply::<S>([
            self.r[data[0]][self.word] ^ subkey(key[0]),
            self.r[data[1]][self.word] ^ subkey(key[1]),
            self.r[data[2]][self.word] ^ subkey(key[2]),
            self.r[data[3]][self.word] ^ subkey(key[3]),
            self.r[data[4]][self.word] ^ subkey(key[4]),
            self.r[data[5]][self.word] ^ subkey(key[5]),
        ]);
        self.l[out[0]][self.word] ^= a;
        self.l[out[1]][self.word] ^= b;
        self.l[out[2]][self.word] ^= c;
        self.l[out[3]][self.word] ^= d;
    }
}

/// The row at a position in C and D taken together.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "positions come from permuted choice 2 and are below 56")]
fn key_bit<'a, const N: usize>(view: View<'a, N>, position: usize) -> &'a Row<N> {
    match position.checked_sub(REGISTER) {
        Some(in_d) => &view.d[in_d],
        None => &view.c[position],
    }
}
