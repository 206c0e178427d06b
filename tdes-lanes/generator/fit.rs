//! Finds gates whose value is right wherever it matters.

use crate::basis::Choices;
use crate::circuit::{Basis, Gate};
use crate::rng::Rng;
use core::cell::OnceCell;

/// What a signal has to be: `on` and `off` are the inputs for which it must be one and zero.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub on: u64,
    pub off: u64,
}

impl Wanted {
    pub fn new(truth: u64, care: u64) -> Self {
        Self { on: truth & care, off: !truth & care }
    }

    pub fn met_by(&self, truth: u64) -> bool {
        self.on & !truth == 0 && self.off & truth == 0
    }

    fn within(&self, side: u64) -> Self {
        Self { on: self.on & side, off: self.off & side }
    }

    fn undecided(&self) -> bool {
        self.on != 0 && self.off != 0
    }
}

/// The signals a gate may read: `truth` of all signals, `pool` marks those that may be used.
pub struct Signals<'a> {
    pub truth: &'a [u64],
    pub pool: u128,
    /// For each of the 64 inputs, which signals are one there.
    columns: OnceCell<[u128; 64]>,
}

impl<'a> Signals<'a> {
    pub fn new(truth: &'a [u64], pool: u128) -> Self {
        Self { truth, pool, columns: OnceCell::new() }
    }

    fn columns(&self) -> &[u128; 64] {
        self.columns.get_or_init(|| {
            let mut columns = [0u128; 64];
            for (n, &t) in self.truth.iter().enumerate() {
                for (input, column) in columns.iter_mut().enumerate() {
                    *column |= u128::from((t >> input) & 1) << n;
                }
            }
            columns
        })
    }

    /// One signal of the pool, drawn.
    pub fn any(&self, rng: &mut Rng) -> u8 {
        let nth = rng.below(self.pool.count_ones() as usize);
        bits(self.pool).nth(nth).expect("fewer than the signals of the pool")
    }

    /// Signals after `last` that tell apart some witnesses of every undecided cell: no others can help.
    fn telling(&self, cells: &[Wanted], last: u8) -> u128 {
        let columns = self.columns();
        let mut mask = self.pool & (u128::MAX << last << 1);
        for cell in cells.iter().filter(|cell| cell.undecided()) {
            let column = |input: u32| columns[input as usize];
            let (on, off) = (column(cell.on.trailing_zeros()), column(cell.off.trailing_zeros()));
            let (on2, off2) = (column(63 - cell.on.leading_zeros()), column(63 - cell.off.leading_zeros()));
            mask &= (on ^ off) & (on2 ^ off2) & (on ^ off2) & (on2 ^ off);
        }
        mask
    }

    /// All gates that give `wanted`; one of them is drawn.
    pub fn draw_gate(&self, wanted: Wanted, basis: Basis, choices: &Choices, rng: &mut Rng) -> Option<Gate> {
        let mut draw = Draw { seen: 0, kept: None };
        for a in bits(self.pool) {
            let truth = self.truth[a as usize];
            let halves = split(wanted, truth);
            if basis == Basis::Two {
                if wanted.met_by(!truth) {
                    draw.offer(Gate { table: 0x0F, ins: [a; 3] }, rng);
                }
                for b in bits(self.telling(&halves, a)) {
                    draw.pair(split_again(&halves, self.truth[b as usize]), a, b, choices, rng);
                }
                continue;
            }
            for b in bits(self.pool & (u128::MAX << a << 1)) {
                let cells = split_again(&halves, self.truth[b as usize]);
                for c in bits(self.telling(&cells, b)) {
                    draw.triple(&cells, self.truth[c as usize], [a, b, c], choices, rng);
                }
            }
        }
        draw.kept
    }
}

/// Positions of the bits set.
pub fn bits(mut mask: u128) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let next = (mask != 0).then(|| mask.trailing_zeros() as u8);
        mask &= mask.wrapping_sub(1);
        next
    })
}

/// What the inner gate `h` has to be so that an outer gate on `h` and `d` (and `e`, in a basis of three)
/// gives `wanted`; one way of many, drawn at random. `None` where the way drawn cannot work.
pub fn draw_inner(d: u64, e: u64, wanted: Wanted, basis: Basis, rng: &mut Rng) -> Option<Wanted> {
    match basis {
        Basis::Two => inner_of_two(d, wanted, rng.below(4)),
        Basis::Three => {
            let cells = split_again(&split(wanted, d), e);
            let mut inner = Wanted { on: 0, off: 0 };
            for cell in cells.iter().filter(|cell| cell.undecided()) {
                let (on, off) = if rng.below(2) == 0 { (cell.on, cell.off) } else { (cell.off, cell.on) };
                inner = Wanted { on: inner.on | on, off: inner.off | off };
            }
            Some(inner)
        }
    }
}

fn inner_of_two(d: u64, wanted: Wanted, way: usize) -> Option<Wanted> {
    let Wanted { on, off } = wanted;
    match way {
        // h & d, d & !h
        0 if on & !d == 0 => Some(Wanted { on, off: off & d }),
        1 if on & !d == 0 => Some(Wanted { on: off & d, off: on }),
        // h & !d, h | d
        0 | 1 if on & d == 0 => Some(Wanted { on, off: off & !d }),
        2 if off & d == 0 => Some(Wanted { on: on & !d, off }),
        // h ^ d
        3 => Some(Wanted { on: (on & !d) | (off & d), off: (off & !d) | (on & d) }),
        _ => None,
    }
}

/// The outer gate on exactly these three signals (two, in a basis of two).
pub fn outer_gate(
    truth: &[u64],
    ins: [u8; 3],
    wanted: Wanted,
    basis: Basis,
    choices: &Choices,
    rng: &mut Rng,
) -> Option<Gate> {
    let [a, b, c] = ins;
    let cells = split_again(&split(wanted, truth[a as usize]), truth[b as usize]);
    let mut draw = Draw { seen: 0, kept: None };
    match basis {
        Basis::Two => draw.pair(cells, a, b, choices, rng),
        Basis::Three => draw.triple(&cells, truth[c as usize], ins, choices, rng),
    }
    draw.kept
}

fn split(wanted: Wanted, a: u64) -> [Wanted; 2] {
    [!a, a].map(|side| wanted.within(side))
}

fn split_again(halves: &[Wanted; 2], b: u64) -> [Wanted; 4] {
    let [[n0, n1], [n2, n3]] = halves.map(|half| split(half, b));
    [n0, n1, n2, n3]
}

/// Reservoir of one: every gate offered has the same chance to be kept.
struct Draw {
    seen: usize,
    kept: Option<Gate>,
}

impl Draw {
    fn offer(&mut self, gate: Gate, rng: &mut Rng) {
        self.seen += 1;
        if rng.below(self.seen) == 0 {
            self.kept = Some(gate);
        }
    }

    fn pair(&mut self, cells: [Wanted; 4], a: u8, b: u8, choices: &Choices, rng: &mut Rng) {
        let (mut on, mut off) = (0u8, 0u8);
        for (n, cell) in cells.iter().enumerate() {
            if cell.undecided() {
                return;
            }
            on |= if cell.on != 0 { 3 << (2 * n) } else { 0 };
            off |= if cell.off != 0 { 3 << (2 * n) } else { 0 };
        }
        self.fit(on, off, [a, b, b], choices, rng);
    }

    fn triple(&mut self, cells: &[Wanted; 4], c: u64, ins: [u8; 3], choices: &Choices, rng: &mut Rng) {
        let (mut on, mut off) = (0u8, 0u8);
        for (n, cell) in cells.iter().enumerate() {
            let (on1, off1) = (cell.on & c != 0, cell.off & c != 0);
            let (on0, off0) = (cell.on & !c != 0, cell.off & !c != 0);
            if (on1 && off1) || (on0 && off0) {
                return;
            }
            on |= (u8::from(on1) << (2 * n + 1)) | (u8::from(on0) << (2 * n));
            off |= (u8::from(off1) << (2 * n + 1)) | (u8::from(off0) << (2 * n));
        }
        self.fit(on, off, ins, choices, rng);
    }

    fn fit(&mut self, on: u8, off: u8, ins: [u8; 3], choices: &Choices, rng: &mut Rng) {
        let fitting = choices.fitting(on, off);
        if !fitting.is_empty() {
            let table = fitting[rng.below(fitting.len())];
            self.offer(Gate { table, ins }, rng);
        }
    }
}
