//! A circuit over the six inputs of a box: gates in topological order, every gate a table of at most
//! three signals, four of the signals being the outputs.

use crate::tables;

/// What one instruction of the target can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// and, or, xor, and-not of two signals: every SIMD unit has them.
    Two,
    /// One ternary-logic instruction: read-once functions of three signals, and the multiplexer.
    Three,
}

/// One gate: bit `4a + 2b + c` of `table` is its value for the values `a`, `b`, `c` of its signals. A gate
/// of two signals repeats one of them and has a table that ignores the repetition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gate {
    pub table: u8,
    pub ins: [u8; 3],
}

/// Number of inputs; signal `n` below this is input `n`, above it gate `n - INPUTS`.
pub const INPUTS: usize = 6;

#[derive(Clone, Debug)]
pub struct Circuit {
    pub gates: Vec<Gate>,
    /// Truth table of each signal over the 64 inputs.
    pub truth: Vec<u64>,
    pub outs: [u8; 4],
}

/// Applies a gate table to three truth tables.
pub fn apply(table: u8, a: u64, b: u64, c: u64) -> u64 {
    let bit = |n: u32| 0u64.wrapping_sub(u64::from((table >> n) & 1));
    let pick = |n: u32| (c & bit(n + 1)) | (!c & bit(n));
    let half = |n: u32| (b & pick(n + 2)) | (!b & pick(n));
    (a & half(4)) | (!a & half(0))
}

impl Circuit {
    pub fn new() -> Self {
        Self { gates: Vec::new(), truth: tables::inputs().to_vec(), outs: [0; 4] }
    }

    /// Adds a gate, or finds the signal that already has its truth table.
    pub fn add(&mut self, gate: Gate) -> u8 {
        let [a, b, c] = gate.ins.map(|s| self.truth[s as usize]);
        let truth = apply(gate.table, a, b, c);
        if let Some(found) = self.truth.iter().position(|&t| t == truth) {
            return found as u8;
        }
        self.push(gate)
    }

    /// Adds a gate even where its truth table exists already.
    pub fn push(&mut self, gate: Gate) -> u8 {
        let [a, b, c] = gate.ins.map(|s| self.truth[s as usize]);
        self.gates.push(gate);
        self.truth.push(apply(gate.table, a, b, c));
        (self.truth.len() - 1) as u8
    }

    /// Forgets all but the first `gates` gates.
    pub fn truncate(&mut self, gates: usize) {
        self.gates.truncate(gates);
        self.truth.truncate(gates + INPUTS);
    }

    /// Keeps only what the outputs need, in a topological order found from the outputs. Gates may refer
    /// forwards before this call, never in a circle.
    pub fn compact(&self) -> Self {
        let mut fresh = Self::new();
        let mut names = vec![u8::MAX; self.truth.len()];
        for (n, name) in names.iter_mut().enumerate().take(INPUTS) {
            *name = n as u8;
        }
        for n in 0..4 {
            fresh.outs[n] = self.visit(self.outs[n], &mut fresh, &mut names);
        }
        fresh
    }

    fn visit(&self, signal: u8, fresh: &mut Self, names: &mut [u8]) -> u8 {
        if names[signal as usize] == u8::MAX {
            let gate = self.gates[signal as usize - INPUTS];
            let ins = gate.ins.map(|s| self.visit(s, fresh, names));
            names[signal as usize] = fresh.add(Gate { table: gate.table, ins });
        }
        names[signal as usize]
    }

    /// Marks every signal whose value can depend on `signal`, itself included.
    pub fn fan_out(&self, signal: usize) -> u128 {
        let mut reach = 1u128 << signal;
        for (n, gate) in self.gates.iter().enumerate() {
            if gate.ins.iter().any(|&s| (reach >> s) & 1 == 1) {
                reach |= 1 << (n + INPUTS);
            }
        }
        reach
    }

    /// Marks the signals that the outputs still need if `signal` had no inputs of its own.
    pub fn needed_without(&self, signal: usize) -> u128 {
        let mut needed = self.outs.iter().fold(0u128, |set, &o| set | (1 << o));
        for (n, gate) in self.gates.iter().enumerate().rev() {
            if (needed >> (n + INPUTS)) & 1 == 1 && n + INPUTS != signal {
                needed = gate.ins.iter().fold(needed, |set, &s| set | (1 << s));
            }
        }
        needed
    }

    /// The inputs for which some output changes when `signal` is inverted: only there its value matters.
    pub fn care(&self, signal: usize) -> u64 {
        let mut truth = [0u64; 128];
        truth[..self.truth.len()].copy_from_slice(&self.truth);
        truth[signal] = !truth[signal];
        for (n, gate) in self.gates.iter().enumerate().skip((signal + 1).saturating_sub(INPUTS)) {
            let [a, b, c] = gate.ins.map(|s| truth[s as usize]);
            truth[n + INPUTS] = apply(gate.table, a, b, c);
        }
        self.outs.iter().fold(0, |care, &o| care | (truth[o as usize] ^ self.truth[o as usize]))
    }
}

/// Truth tables of the four outputs (first output highest bit of the value): bit `i` is the output for
/// input `i`.
pub fn targets(table: &[u8; 64]) -> [u64; 4] {
    let mut out = [0u64; 4];
    for input in 0..64 {
        let value = tables::lookup(table, input);
        for (bit, truth) in out.iter_mut().enumerate() {
            *truth |= u64::from((value >> (3 - bit)) & 1) << input;
        }
    }
    out
}
