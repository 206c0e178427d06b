//! The memory of one pass: filled lane by lane, computed on, emptied lane by lane, wiped.

use crate::job::{Direction, Job, Shape};
use crate::kernel::{Course, Half, KeyRows, Row, stage};
use crate::sboxes::Boxes;
use crate::transpose::transpose;
use crate::wiring::{IP, PC1, REGISTER};
use zeroize::optimization_barrier;

/// Blocks or DES keys as they come: lane `n` is word `n % N` of row `n / N`.
type Words<const N: usize> = [Row<N>; 64];

/// What a pass has to do, gathered while it is filled. Nothing here is secret.
#[derive(Clone, Copy, Default)]
struct Needs {
    encrypt: bool,
    decrypt: bool,
    /// Some lane has more than one DES key.
    stages: bool,
    /// Some lane has a third DES key of its own.
    third: bool,
}

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
        })
    }

    /// Forgets what the next pass needs; lanes that are not filled compute on whatever is there.
    pub fn begin(&mut self) {
        self.decrypt = Self::ZERO;
        self.needs = Needs::default();
    }

    /// Gives lane `lane` its job. Lanes beyond the last are ignored.
    #[inline]
    pub fn fill(&mut self, lane: usize, job: &Job) {
        let [k1, k2, k3] = job.stage_keys();
        put(&mut self.blocks, lane, job.block());
        let [first, second, third] = &mut self.keys;
        put(first, lane, k1);
        put(second, lane, k2);
        put(third, lane, k3);
        self.needs.stages |= job.shape() != Shape::Single;
        self.needs.third |= job.shape() == Shape::Triple;
        match job.direction() {
            Direction::Encrypt => self.needs.encrypt = true,
            Direction::Decrypt => {
                self.needs.decrypt = true;
                if let Some(word) = self.decrypt.get_mut(lane % N) {
                    *word |= 1 << ((lane / N) & 63);
                }
            }
        }
    }

    /// The result of lane `lane`; zero beyond the last.
    #[inline]
    pub fn result(&self, lane: usize) -> u64 {
        self.blocks.as_flattened().get(lane).copied().unwrap_or_default()
    }

    /// Computes all lanes. Which stages run and which way depends on shapes and directions only.
    #[inline(always)]
    pub fn compute<B: Boxes>(&mut self) {
        transpose(&mut self.blocks);
        take_halves(&self.blocks, &mut self.l, &mut self.r);
        let used = match self.needs {
            Needs { third: true, .. } => 3,
            Needs { stages: true, .. } => 2,
            _ => 1,
        };
        for (words, registers) in self.keys.iter_mut().zip(&mut self.registers).take(used) {
            transpose(words);
            take_registers(words, registers);
        }
        let [first, second, third] = &self.registers;
        let third = if self.needs.third { third } else { first };
        let (there, back) = match self.needs {
            Needs { encrypt: true, decrypt: true, .. } => {
                (Course::Mixed(&self.decrypt), Course::MixedBack(&self.decrypt))
            }
            Needs { decrypt: true, .. } => (Course::Back, Course::Forth),
            _ => (Course::Forth, Course::Back),
        };
        stage::<B, N>(&mut self.l, &mut self.r, first, there);
        if self.needs.stages {
            stage::<B, N>(&mut self.r, &mut self.l, second, back);
            stage::<B, N>(&mut self.l, &mut self.r, third, there);
        }
        give_halves(&self.r, &self.l, &mut self.blocks);
        transpose(&mut self.blocks);
    }

    /// Overwrites everything that a key or block may have left.
    pub fn wipe(&mut self) {
        self.blocks.fill(Self::ZERO);
        self.l.fill(Self::ZERO);
        self.r.fill(Self::ZERO);
        for words in &mut self.keys {
            words.fill(Self::ZERO);
        }
        for registers in &mut self.registers {
            registers.c.fill(Self::ZERO);
            registers.d.fill(Self::ZERO);
        }
        self.begin();
        optimization_barrier(self);
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[inline(always)]
fn put<const N: usize>(words: &mut Words<N>, lane: usize, value: u64) {
    if let Some(word) = words.as_flattened_mut().get_mut(lane) {
        *word = value;
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
