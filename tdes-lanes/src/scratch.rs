//! The memory of one pass: filled lane by lane, computed on, emptied lane by lane, wiped.

use crate::job::{Job, Needs};
use crate::kernel::{Half, KeyRows, Row, Turns};
use crate::wiring::{IP, PC1, REGISTER, TURNS, TURNS_BACK};
use zeroize::optimization_barrier;

/// Blocks or DES keys as they come: lane `n` is word `n % N` of row `n / N`.
type Words<const N: usize> = [Row<N>; 64];

/// Working memory for `64 * N` lanes.
#[repr(align(64))]
pub struct Scratch<const N: usize> {
    blocks: Words<N>,
    keys: [Words<N>; 3],
    /// The lanes that decrypt.
    decrypt: Row<N>,
    l: Half<N>,
    r: Half<N>,
    registers: [KeyRows<N>; 3],
    needs: Needs,
    /// The keys are rows already.
    turned: bool,
    /// How many registers were written since the last wipe.
    registers_used: usize,
}

impl<const N: usize> Scratch<N> {
    /// How many lanes a pass has.
    pub const LANES: usize = 64 * N;

    const ZERO: Row<N> = [0; N];

    pub fn new() -> Box<Self> {
        let key = || KeyRows { c: [Self::ZERO; 64], d: [Self::ZERO; 64] };
        Box::new(Self {
            blocks: [Self::ZERO; 64],
            keys: [[Self::ZERO; 64]; 3],
            decrypt: Self::ZERO,
            l: [Self::ZERO; 32],
            r: [Self::ZERO; 32],
            registers: [key(), key(), key()],
            needs: Needs::default(),
            turned: false,
            registers_used: 0,
        })
    }

    /// Gives the jobs at these positions to the lanes, in order. Lanes that get none compute on whatever is
    /// there.
    pub fn fill(&mut self, jobs: &[Job], positions: &[usize], needs: Needs) {
        (self.needs, self.turned) = (needs, false);
        let [first, second, third] = &mut self.keys;
        let keys =
            first.as_flattened_mut().iter_mut().zip(second.as_flattened_mut()).zip(third.as_flattened_mut());
        let lanes = self.blocks.as_flattened_mut().iter_mut().zip(keys);
        for ((block, ((first, second), third)), &at) in lanes.zip(positions) {
            if let Some(job) = jobs.get(at) {
                *block = job.block();
                [*first, *second, *third] = *job.stage_keys();
            }
        }
        self.decrypt = Self::ZERO;
        if needs.mixed() {
            for (row, lanes) in positions.chunks(N).enumerate() {
                for (word, job) in self.decrypt.iter_mut().zip(lanes.iter().filter_map(|&at| jobs.get(at))) {
                    *word |= u64::from(job.needs().decrypt()) << (row & 63);
                }
            }
        }
    }

    /// Gives blocks to the lanes, in order, under two keys in turn, which need no turning: a row of a key has the bit of
    /// the first in its even words and that of the second in its odd ones, as the lanes lie.
    pub fn fill_two(&mut self, keys: [[u64; 2]; 2], blocks: &[u64], needs: Needs) {
        (self.needs, self.turned) = (needs, true);
        self.blocks.as_flattened_mut().iter_mut().zip(blocks).for_each(|(lane, block)| *lane = *block);
        let [[a, b], [c, d]] = keys;
        for (words, pair) in self.keys.iter_mut().zip([[a, c], [b, d]]) {
            for (bit, row) in words.iter_mut().enumerate() {
                let all = pair.map(|key| ((key >> (bit & 63)) & 1).wrapping_neg());
                row.as_chunks_mut::<2>().0.iter_mut().for_each(|two| *two = all);
            }
        }
    }

    /// The results, lane by lane.
    #[inline(always)]
    pub fn results(&self) -> &[u64] {
        self.blocks.as_flattened()
    }

    /// Computes all lanes. Which stages run and which way depends on shapes and directions only.
    ///
    /// The work itself is handed in as the engine compiled it: the transposition, a stage in which all lanes
    /// take the same turns, and one in which the lanes of the mask take the second turns.
    #[inline(always)]
    pub fn compute(
        &mut self,
        transpose: impl Fn(&mut Words<N>),
        uniform: impl Fn(&mut Half<N>, &mut Half<N>, &KeyRows<N>, &Turns),
        mixed: impl Fn(&mut Half<N>, &mut Half<N>, &KeyRows<N>, [&Turns; 2], &Row<N>),
    ) {
        transpose(&mut self.blocks);
        take_halves(&self.blocks, &mut self.l, &mut self.r);
        let needs = self.needs;
        let keys = match (needs.stages(), needs.third()) {
            (_, true) => 3,
            (true, false) => 2,
            (false, false) => 1,
        };
        self.registers_used = self.registers_used.max(keys);
        for (words, registers) in self.keys.iter_mut().zip(&mut self.registers).take(keys) {
            if !self.turned {
                transpose(words);
            }
            take_registers(words, registers);
        }
        let [first, second, third] = &self.registers;
        let third = if needs.third() { third } else { first };
        let stages = if needs.stages() { 3 } else { 1 };
        // Lanes of the mask go the other way, but only a mixed stage looks at it.
        let (there, back) = if needs.encrypt() { (&TURNS, &TURNS_BACK) } else { (&TURNS_BACK, &TURNS) };
        let (mut l, mut r) = (&mut self.l, &mut self.r);
        let plan = [(first, there, back), (second, back, there), (third, there, back)];
        for (key, turns, other) in plan.into_iter().take(stages) {
            if needs.mixed() {
                mixed(l, r, key, [turns, other], &self.decrypt);
            } else {
                uniform(l, r, key, turns);
            }
            core::mem::swap(&mut l, &mut r);
        }
        give_halves(l, r, &mut self.blocks);
        transpose(&mut self.blocks);
    }

    /// Overwrites everything that a key or block may have left since the last wipe.
    pub fn wipe(&mut self) {
        self.blocks.fill(Self::ZERO);
        self.l.fill(Self::ZERO);
        self.r.fill(Self::ZERO);
        for words in &mut self.keys {
            words.fill(Self::ZERO);
        }
        for registers in self.registers.iter_mut().take(self.registers_used) {
            registers.c.fill(Self::ZERO);
            registers.d.fill(Self::ZERO);
        }
        self.registers_used = 0;
        optimization_barrier(self);
    }
}

#[cfg(test)]
impl<const N: usize> Scratch<N> {
    pub fn is_wiped(&self) -> bool {
        let words = self
            .keys
            .iter()
            .chain([&self.blocks])
            .chain(self.registers.iter().flat_map(|key| [&key.c, &key.d]));
        words.flatten().chain(&self.l).chain(&self.r).all(|row| *row == Self::ZERO)
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The row of a block or key position, counted from the most significant bit.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a masked position is below 64")]
fn at<const N: usize>(rows: &Words<N>, position: u8) -> &Row<N> {
    &rows[usize::from(!position & 63)]
}

#[inline(always)]
fn take_halves<const N: usize>(rows: &Words<N>, l: &mut Half<N>, r: &mut Half<N>) {
    for (row, &position) in l.iter_mut().chain(r).zip(&IP) {
        *row = *at(rows, position);
    }
}

/// The inverse of the initial permutation; `left` and `right` are named as the standard's last step takes
/// them, after the final swap.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a masked position is below 64")]
fn give_halves<const N: usize>(left: &Half<N>, right: &Half<N>, rows: &mut Words<N>) {
    for (row, &position) in left.iter().chain(right).zip(&IP) {
        rows[usize::from(!position & 63)] = *row;
    }
}

/// Permuted choice 1, written twice in a row.
#[inline(always)]
fn take_registers<const N: usize>(rows: &Words<N>, registers: &mut KeyRows<N>) {
    let (c, d) = PC1.split_at(REGISTER);
    for (register, choice) in [(&mut registers.c, c), (&mut registers.d, d)] {
        for (row, &position) in register.iter_mut().zip(choice.iter().chain(choice)) {
            *row = *at(rows, position);
        }
    }
}
