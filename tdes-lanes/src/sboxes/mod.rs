//! The eight substitution boxes as circuits over words: every word carries one bit of 64 lanes.
//!
//! `two` and `three` are written by `generator/` and proved here against the published tables.

#[allow(clippy::eq_op)] // a search wrote it, and may name one wire twice
pub mod three;
#[allow(clippy::eq_op)]
pub mod two;

/// A set of circuits, chosen by what one instruction of the target can do.
pub trait Boxes {
    /// Applies box `S` (0 to 7) to its six input words, first bit first, giving its four output words.
    fn apply<const S: usize>(input: [u64; 6]) -> [u64; 4];
}

/// Circuits of two-input gates.
pub struct Two;

/// Circuits of three-input gates, for units with a ternary-logic instruction.
pub struct Three;

macro_rules! boxes {
    ($name:ident, $module:ident) => {
        impl Boxes for $name {
            #[inline(always)]
            fn apply<const S: usize>(input: [u64; 6]) -> [u64; 4] {
                match S {
                    0 => $module::s1(input),
                    1 => $module::s2(input),
                    2 => $module::s3(input),
                    3 => $module::s4(input),
                    4 => $module::s5(input),
                    5 => $module::s6(input),
                    6 => $module::s7(input),
                    _ => $module::s8(input),
                }
            }
        }
    };
}

boxes!(Two, two);
boxes!(Three, three);

#[cfg(test)]
#[path = "../../generator/tables.rs"]
mod tables;

#[cfg(test)]
mod tests {
    use super::{Boxes, Three, Two, tables};

    /// All 64 inputs of a box at once: they are the 64 lanes of a word.
    fn prove<B: Boxes, const S: usize>() {
        let out = B::apply::<S>(tables::inputs());
        for input in 0..64 {
            let value = out.iter().fold(0, |value, word| (value << 1) | ((word >> input) & 1));
            let published = tables::lookup(&tables::TABLES[S], input);
            assert_eq!(value, u64::from(published), "box {} input {input}", S + 1);
        }
    }

    fn prove_all<B: Boxes>() {
        prove::<B, 0>();
        prove::<B, 1>();
        prove::<B, 2>();
        prove::<B, 3>();
        prove::<B, 4>();
        prove::<B, 5>();
        prove::<B, 6>();
        prove::<B, 7>();
    }

    #[test]
    fn circuits_of_two_input_gates_are_the_published_boxes() {
        prove_all::<Two>();
    }

    #[test]
    fn circuits_of_three_input_gates_are_the_published_boxes() {
        prove_all::<Three>();
    }
}
