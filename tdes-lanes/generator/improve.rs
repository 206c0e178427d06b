//! Makes a right circuit smaller: a gate may be replaced by any signal, gate or small group of gates that
//! agrees with it on the inputs where its value matters for an output. Replacements that keep the size are
//! taken too, and now and then a larger one: the walk over equally small circuits is what meets the
//! smaller one.

use crate::build::{Builder, Search};
use crate::circuit::{Circuit, Gate, INPUTS};
use crate::fit::{Signals, Wanted, bits, draw_inner, outer_gate};
use crate::rng::Rng;

/// One step in so many makes a function anew, with the best of so many orders.
const REBUILDS: usize = 256;
const ORDERS: usize = 8;

pub struct Walk<'a> {
    pub search: &'a Search<'a>,
    /// A step to a circuit larger by `n` gates is taken once in `odds` to the power of `n`.
    pub odds: usize,
    /// How many gates above the smallest circuit met the walk may be.
    pub slack: usize,
}

impl Walk<'_> {
    /// Walks `steps` steps; returns the smallest circuit met.
    pub fn run(&self, start: Circuit, steps: usize, rng: &mut Rng) -> Circuit {
        let mut best = start.clone();
        let mut here = start;
        for _ in 0..steps {
            let Some(next) = self.step(&here, rng) else { continue };
            if next.gates.len() > best.gates.len() + self.slack || !self.takes(&here, &next, rng) {
                continue;
            }
            here = next;
            if here.gates.len() < best.gates.len() {
                best = here.clone();
            }
        }
        best
    }

    fn takes(&self, here: &Circuit, next: &Circuit, rng: &mut Rng) -> bool {
        (here.gates.len()..next.gates.len()).all(|_| rng.below(self.odds) == 0)
    }

    fn step(&self, circuit: &Circuit, rng: &mut Rng) -> Option<Circuit> {
        if rng.below(REBUILDS) == 0 {
            return Some(self.rebuild(circuit, rng));
        }
        let place = rng.below(circuit.gates.len());
        let signal = place + INPUTS;
        let wanted = Wanted::new(circuit.truth[signal], circuit.care(signal));
        let above = circuit.fan_out(signal);
        let pool = !above & ((1 << circuit.truth.len()) - 1);
        let same: Vec<u8> = bits(pool).filter(|&s| wanted.met_by(circuit.truth[s as usize])).collect();
        if !same.is_empty() {
            return Some(substitute(circuit, signal, same[rng.below(same.len())]));
        }
        let Search { basis, choices, .. } = *self.search;
        let signals = Signals::new(&circuit.truth, pool);
        let mut changed = circuit.clone();
        changed.gates[place] = match rng.below(64) {
            0..24 => signals.draw_gate(wanted, basis, choices, rng)?,
            24..52 => self.chain(&mut changed, &signals, wanted, 1, rng)?,
            _ => self.chain(&mut changed, &signals, wanted, 2, rng)?,
        };
        Some(changed.compact())
    }

    /// A gate that gives `wanted` from a random signal (two, in a basis of three) and a new gate made in the
    /// same way, `depth` gates deep.
    fn chain(
        &self,
        changed: &mut Circuit,
        signals: &Signals,
        wanted: Wanted,
        depth: usize,
        rng: &mut Rng,
    ) -> Option<Gate> {
        let Search { basis, choices, .. } = *self.search;
        if depth == 0 {
            return signals.draw_gate(wanted, basis, choices, rng);
        }
        let (d, e) = (signals.any(rng), signals.any(rng));
        let inner = draw_inner(signals.truth[d as usize], signals.truth[e as usize], wanted, basis, rng)?;
        let gate = self.chain(changed, signals, inner, depth - 1, rng)?;
        let h = changed.push(gate);
        outer_gate(&changed.truth, [h, d, e], wanted, basis, choices, rng)
    }

    /// Forgets a gate, often one that makes an output, and makes its function again by the recursion, from
    /// signals that do not depend on it; half of the time the gates that served it alone are forgotten first.
    /// Of several orders the best.
    fn rebuild(&self, circuit: &Circuit, rng: &mut Rng) -> Circuit {
        let signal = match rng.below(2) {
            0 => circuit.outs[rng.below(4)] as usize,
            _ => INPUTS + rng.below(circuit.gates.len()),
        };
        if signal < INPUTS {
            return circuit.clone();
        }
        let kept = if rng.below(2) == 0 { u128::MAX } else { circuit.needed_without(signal) };
        let again = (0..ORDERS).map(|_| self.rebuild_once(circuit, signal, kept, rng));
        again.min_by_key(|c| c.gates.len()).unwrap_or_else(|| circuit.clone())
    }

    fn rebuild_once(&self, circuit: &Circuit, signal: usize, kept: u128, rng: &mut Rng) -> Circuit {
        let wanted = Wanted::new(circuit.truth[signal], circuit.care(signal));
        let above = circuit.fan_out(signal);
        let mut fresh = Circuit::new();
        let mut names = vec![u8::MAX; circuit.truth.len()];
        for (n, name) in names.iter_mut().enumerate().take(INPUTS) {
            *name = n as u8;
        }
        let copy = |n: usize, fresh: &mut Circuit, names: &mut [u8]| {
            let mut gate = circuit.gates[n - INPUTS];
            gate.ins = gate.ins.map(|s| names[s as usize]);
            names[n] = fresh.add(gate);
        };
        for n in INPUTS..circuit.truth.len() {
            if (above >> n) & 1 == 0 && (kept >> n) & 1 == 1 {
                copy(n, &mut fresh, &mut names);
            }
        }
        let builder = Builder { search: self.search, order: rng.shuffled() };
        names[signal] = builder.make(&mut fresh, wanted.on, wanted.on | wanted.off, 0, rng);
        for n in signal + 1..circuit.truth.len() {
            if (above >> n) & 1 == 1 {
                copy(n, &mut fresh, &mut names);
            }
        }
        fresh.outs = circuit.outs.map(|s| names[s as usize]);
        fresh.compact()
    }
}

/// Lets every user of `signal`, and every output, take `other` instead.
fn substitute(circuit: &Circuit, signal: usize, other: u8) -> Circuit {
    let mut changed = circuit.clone();
    let swap = |s: u8| if s as usize == signal { other } else { s };
    for gate in &mut changed.gates {
        gate.ins = gate.ins.map(swap);
    }
    changed.outs = changed.outs.map(swap);
    changed.compact()
}
