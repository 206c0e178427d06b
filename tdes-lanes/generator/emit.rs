//! Writes a circuit as Rust source.

use crate::circuit::{Circuit, Gate, INPUTS};

/// One function of the file: box `number` (from 1) as straight-line code over words.
pub fn function(circuit: &Circuit, number: usize) -> String {
    let mut text = format!(
        "/// Box {number}: {} gates.\n#[inline(always)]\npub fn s{number}([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {{\n",
        circuit.gates.len()
    );
    for (n, gate) in circuit.gates.iter().enumerate() {
        let value = expression(gate);
        text.push_str(&format!("    let {} = {value};\n", name((n + INPUTS) as u8)));
    }
    let outs = circuit.outs.map(name).join(", ");
    text.push_str(&format!("    [{outs}]\n}}\n"));
    text
}

fn name(signal: u8) -> String {
    match ["a", "b", "c", "d", "e", "f"].get(signal as usize) {
        Some(input) => (*input).to_string(),
        None => format!("t{}", signal as usize - INPUTS + 1),
    }
}

const OPS: [(&str, fn(u8, u8) -> u8); 3] = [("&", |x, y| x & y), ("|", |x, y| x | y), ("^", |x, y| x ^ y)];

/// The gate as an expression that names every signal once, or as a multiplexer; of several the shortest.
fn expression(gate: &Gate) -> String {
    let mut found: Option<String> = None;
    let mut offer = |table: u8, text: String| {
        if table == gate.table && found.as_ref().is_none_or(|f| text.len() < f.len()) {
            found = Some(text);
        }
    };
    let [a, b, c] = gate.ins;
    for [x, y, z] in [[(a, 0xF0), (b, 0xCC), (c, 0xAA)], [(b, 0xCC), (a, 0xF0), (c, 0xAA)], [(c, 0xAA), (a, 0xF0), (b, 0xCC)]] {
        for flips in 0..8u8 {
            let (x, tx) = literal(x, flips & 1);
            let (y, ty) = literal(y, flips & 2);
            let (z, tz) = literal(z, flips & 4);
            offer(tx, x.clone());
            for (outer, f) in OPS {
                offer(f(tx, ty), format!("{x} {outer} {y}"));
                offer(f(ty, tz), format!("{y} {outer} {z}"));
                offer(!f(tx, ty), format!("!({x} {outer} {y})"));
                offer(!f(ty, tz), format!("!({y} {outer} {z})"));
                for (inner, g) in OPS {
                    offer(f(tx, g(ty, tz)), format!("{x} {outer} ({y} {inner} {z})"));
                    offer(f(tx, !g(ty, tz)), format!("{x} {outer} !({y} {inner} {z})"));
                    offer(!f(tx, g(ty, tz)), format!("!({x} {outer} ({y} {inner} {z}))"));
                }
            }
            if flips == 0 {
                offer((tx & ty) | (!tx & tz), format!("({x} & {y}) | (!{x} & {z})"));
                offer((tx & tz) | (!tx & ty), format!("({x} & {z}) | (!{x} & {y})"));
            }
        }
    }
    found.expect("every table of a basis has an expression")
}

fn literal((signal, table): (u8, u8), flip: u8) -> (String, u8) {
    if flip == 0 { (name(signal), table) } else { (format!("!{}", name(signal)), !table) }
}
