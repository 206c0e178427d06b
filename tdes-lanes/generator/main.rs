//! Writes `src/sboxes/two.rs` and `src/sboxes/three.rs` from the published tables of the eight boxes.
//!
//! `cargo run --release -p tdes-lanes --example sboxes` writes both files again, the same to the last byte: a
//! few minutes of CPU. `… --example sboxes -- search BASIS BOX STARTS FROM TO` looks for better recipes:
//! BASIS 2 or 3, BOX 1 to 8, seeds FROM up to TO; what it finds goes into `recipes.rs`.
//!
//! The method is our own, on a published idea: first circuits by M. Kwan's recursion with sharing of gates
//! (`build.rs`), made smaller by a walk over equal circuits (`improve.rs`). Every circuit is checked against
//! its table before it is written, and again by the tests of the crate.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for people

mod basis;
mod build;
mod circuit;
mod emit;
mod fit;
mod improve;
mod recipes;
mod rng;
mod tables;

use basis::Choices;
use build::Search;
use circuit::{Basis, Circuit, targets};
use improve::Walk;
use recipes::Recipe;
use rng::Rng;
use std::path::Path;

/// Steps of all walks of a round together.
const STEPS: usize = 1_000_000;

const USAGE: &str = "arguments: none, or: search 2|3 BOX STARTS FROM_SEED TO_SEED";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => write_all(),
        ["search", basis, number, starts, from, to] => search(basis, [number, starts, from, to]),
        _ => println!("{USAGE}"),
    }
}

fn write_all() {
    for (basis, file, recipes) in
        [(Basis::Two, "two.rs", &recipes::TWO), (Basis::Three, "three.rs", &recipes::THREE)]
    {
        let choices = Choices::new(basis);
        let circuits: Vec<Circuit> =
            recipes.iter().enumerate().map(|(n, &recipe)| find(n, basis, &choices, recipe)).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sboxes").join(file);
        std::fs::write(&path, emit::file(basis, &circuits)).expect("the source folder can be written");
        println!("{}: {:?}", path.display(), circuits.iter().map(|c| c.gates.len()).collect::<Vec<_>>());
    }
}

fn search(basis: &str, numbers: [&str; 4]) {
    let basis = if basis == "2" { Basis::Two } else { Basis::Three };
    let [Ok(number @ 1..=8), Ok(starts @ 1..), Ok(from), Ok(to)] = numbers.map(str::parse) else {
        println!("{USAGE}");
        return;
    };
    let choices = Choices::new(basis);
    let mut best = usize::MAX;
    for seed in from..to {
        let recipe = Recipe { seed: seed as u64, starts };
        let gates = find(number - 1, basis, &choices, recipe).gates.len();
        best = best.min(gates);
        println!("{basis:?} box {number} starts {starts} seed {seed}: {gates} gates, best {best}");
    }
}

/// The circuit that a recipe leads to: of several first circuits, all walked a while, the best quarter goes
/// on for longer, until one is left. The outputs are compared with the table here too.
fn find(index: usize, basis: Basis, choices: &Choices, recipe: Recipe) -> Circuit {
    let targets = targets(&tables::TABLES[index]);
    let mut rng = Rng(recipe.seed);
    let search = Search { basis, choices, width: 1, tries: 30, trials: 15 };
    let walk = Walk { search: &search, odds: 200, slack: 3 };
    let mut circuits: Vec<Circuit> =
        (0..recipe.starts).map(|_| build::beam(&search, &targets, &mut rng).swap_remove(0)).collect();
    loop {
        let steps = STEPS / circuits.len();
        circuits = circuits.into_iter().map(|circuit| walk.run(circuit, steps, &mut rng)).collect();
        circuits.sort_by_key(|circuit| circuit.gates.len());
        if circuits.len() == 1 {
            break;
        }
        circuits.truncate(circuits.len().div_ceil(4));
    }
    let circuit = circuits.swap_remove(0);
    for (out, target) in circuit.outs.iter().zip(targets) {
        assert_eq!(circuit.truth[usize::from(*out)], target, "box {}", index + 1);
    }
    circuit
}
