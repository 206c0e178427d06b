//! What led to the smallest circuits found, box 1 first.

/// A seed, and from how many first circuits the walk chooses.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub seed: u64,
    pub starts: usize,
}

const fn recipe(seed: u64, starts: usize) -> Recipe {
    Recipe { seed, starts }
}

/// For circuits of two-input gates.
pub const TWO: [Recipe; 8] = [
    recipe(1, 16),
    recipe(0, 16),
    recipe(1, 16),
    recipe(0, 1),
    recipe(0, 16),
    recipe(1, 16),
    recipe(1, 16),
    recipe(0, 16),
];

/// For circuits of three-input gates.
pub const THREE: [Recipe; 8] = [
    recipe(0, 16),
    recipe(0, 16),
    recipe(0, 16),
    recipe(2, 1),
    recipe(0, 16),
    recipe(0, 16),
    recipe(0, 16),
    recipe(0, 16),
];
