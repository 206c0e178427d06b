//! First circuits, by the recursion that M. Kwan published ("Reducing the gate count of bitslice DES",
//! 2000): a wanted function is an existing signal, or one gate on existing signals, or else split by an
//! input bit into two functions that matter on half of the inputs only; whatever was made before is shared.

use crate::basis::Choices;
use crate::circuit::{Basis, Circuit, Gate};
use crate::fit::{Signals, Wanted, draw_inner, outer_gate};
use crate::rng::Rng;
use crate::tables;

const AND: u8 = 0xC0;
const OR: u8 = 0xFC;
const XOR: u8 = 0x3C;
const AND_NOT: u8 = 0x30;
const MUX: u8 = 0xCA;

/// How hard to look.
pub struct Search<'a> {
    pub basis: Basis,
    pub choices: &'a Choices,
    /// How many circuits are kept after each output.
    pub width: usize,
    /// How many orders of the inputs are tried for each circuit and output.
    pub tries: usize,
    /// How many ways to make a function of two gates are tried at the top level of the recursion.
    pub trials: usize,
}

pub struct Builder<'a> {
    pub search: &'a Search<'a>,
    pub order: [usize; 6],
}

/// Adds the outputs one after another, keeping the `width` smallest circuits of each stage: `tries` random
/// orders of the inputs for every kept circuit and every output that it still lacks.
pub fn beam(search: &Search, targets: &[u64; 4], rng: &mut Rng) -> Vec<Circuit> {
    let mut kept = vec![(Circuit::new(), [false; 4])];
    for _ in 0..4 {
        let mut grown: Vec<(Circuit, [bool; 4])> = Vec::new();
        for (circuit, done) in &kept {
            for out in (0..4).filter(|&out| !done[out]) {
                let mut done = *done;
                done[out] = true;
                for _ in 0..search.tries {
                    let mut trial = circuit.clone();
                    let builder = Builder { search, order: rng.shuffled() };
                    trial.outs[out] = builder.make(&mut trial, targets[out], u64::MAX, 0, rng);
                    grown.push((trial, done));
                }
            }
        }
        grown.sort_by_cached_key(|(circuit, _)| (circuit.gates.len(), rng.next()));
        grown.dedup_by(|a, b| a.0.truth == b.0.truth);
        grown.truncate(search.width);
        kept = grown;
    }
    kept.into_iter().map(|(circuit, _)| circuit.compact()).collect()
}

impl Builder<'_> {
    /// The signal that is `truth` on the inputs in `care`; `level` bits of the order are already fixed.
    pub fn make(&self, circuit: &mut Circuit, truth: u64, care: u64, level: usize, rng: &mut Rng) -> u8 {
        let wanted = Wanted::new(truth, care);
        if let Some(found) = circuit.truth.iter().position(|&t| wanted.met_by(t)) {
            return found as u8;
        }
        let Search { basis, choices, .. } = *self.search;
        let known = circuit.truth.clone();
        let signals = Signals::new(&known, (1 << known.len()) - 1);
        if let Some(gate) = signals.draw_gate(wanted, basis, choices, rng) {
            return circuit.add(gate);
        }
        if let Some(found) = self.two_gates(circuit, &signals, wanted, level, rng) {
            return found;
        }
        match self.search.basis {
            Basis::Three => self.multiplex(circuit, truth, care, level, rng),
            Basis::Two => self.correct(circuit, truth, care, level, rng),
        }
    }

    /// A gate on a new gate, by trial of random ways; more trials the fewer inputs are left.
    fn two_gates(
        &self,
        circuit: &mut Circuit,
        signals: &Signals,
        wanted: Wanted,
        level: usize,
        rng: &mut Rng,
    ) -> Option<u8> {
        let Search { basis, choices, .. } = *self.search;
        for _ in 0..self.search.trials << level {
            let (d, e) = (rng.below(signals.truth.len()), rng.below(signals.truth.len()));
            let drawn = draw_inner(signals.truth[d], signals.truth[e], wanted, basis, rng);
            let Some(gate) = drawn.and_then(|inner| signals.draw_gate(inner, basis, choices, rng)) else {
                continue;
            };
            let before = circuit.gates.len();
            let h = circuit.add(gate);
            let ins = [h, d as u8, e as u8];
            if let Some(outer) = outer_gate(&circuit.truth, ins, wanted, basis, choices, rng) {
                return Some(circuit.add(outer));
            }
            circuit.truncate(before);
        }
        None
    }

    fn multiplex(&self, circuit: &mut Circuit, truth: u64, care: u64, level: usize, rng: &mut Rng) -> u8 {
        let bit = self.order[level] as u8;
        let side = tables::inputs()[bit as usize];
        let low = self.make(circuit, truth, care & !side, level + 1, rng);
        let high = self.make(circuit, truth, care & side, level + 1, rng);
        circuit.add(Gate { table: MUX, ins: [bit, high, low] })
    }

    /// One half is made as it is and corrected on the other half: `half ^ (correction gated by the bit)`.
    /// Three ways to gate; below the first levels all are tried and the smallest kept.
    fn correct(&self, circuit: &mut Circuit, truth: u64, care: u64, level: usize, rng: &mut Rng) -> u8 {
        let ways = [AND, AND_NOT, OR];
        if level < 2 {
            return self.correct_by(circuit, ways[rng.below(3)], truth, care, level, rng);
        }
        let mut best: Option<(Circuit, u8)> = None;
        for way in ways {
            let mut trial = circuit.clone();
            let signal = self.correct_by(&mut trial, way, truth, care, level, rng);
            if best.as_ref().is_none_or(|(b, _)| trial.gates.len() < b.gates.len()) {
                best = Some((trial, signal));
            }
        }
        let (winner, signal) = best.expect("three ways were tried");
        *circuit = winner;
        signal
    }

    fn correct_by(
        &self,
        circuit: &mut Circuit,
        way: u8,
        truth: u64,
        care: u64,
        level: usize,
        rng: &mut Rng,
    ) -> u8 {
        let bit = self.order[level] as u8;
        let side = tables::inputs()[bit as usize];
        // `free` is the half where the gate leaves `half` alone (or, for OR, inverts it).
        let (free, invert) = match way {
            AND => (!side, 0),
            AND_NOT => (side, 0),
            _ => (side, u64::MAX),
        };
        let half = self.make(circuit, truth ^ invert, care & free, level + 1, rng);
        let rest = truth ^ circuit.truth[half as usize];
        let fix = self.make(circuit, rest, care & !free, level + 1, rng);
        let gated = match way {
            AND_NOT => circuit.add(Gate { table: AND_NOT, ins: [fix, bit, bit] }),
            other => circuit.add(Gate { table: other, ins: [bit, fix, fix] }),
        };
        circuit.add(Gate { table: XOR, ins: [half, gated, gated] })
    }
}
