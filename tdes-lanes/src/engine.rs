//! The one place that knows CPUs: which code a pass runs on, found once, and the calls into functions that
//! need a feature.
#![expect(unsafe_code, reason = "calling a function compiled for a CPU feature, after the feature was found")]

use crate::scratch::Scratch;

/// Code for one kind of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// What the target always has: 256 lanes in whatever words or vectors that is.
    Portable,
    /// 256 lanes in 256-bit vectors, two-input gates.
    Avx2,
    /// 256 lanes in 256-bit vectors, ternary logic and 32 registers (AVX-512VL).
    Avx512Vl,
    /// 512 lanes in 512-bit vectors, ternary logic.
    Avx512,
}

impl Engine {
    /// All engines, the best for few blocks last but one, the one for many blocks last.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512Vl, Self::Avx512];

    /// Whether this CPU can run it.
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vl | Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// How many lanes a pass has.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Avx512 => Scratch::<8>::LANES,
            _ => Scratch::<4>::LANES,
        }
    }
}

/// A pass of 256 lanes.
#[derive(Clone, Copy)]
pub struct Narrow(Engine);

/// A pass of 512 lanes.
#[derive(Clone, Copy)]
pub struct Wide(());

impl Narrow {
    /// `None` if the CPU cannot, or the engine has another width.
    pub fn new(engine: Engine) -> Option<Self> {
        (engine.available() && engine != Engine::Avx512).then_some(Self(engine))
    }

    /// The best that this CPU has.
    pub fn best() -> Self {
        let found = [Engine::Avx512Vl, Engine::Avx2].into_iter().find_map(Self::new);
        found.unwrap_or(Self(Engine::Portable))
    }

    pub fn engine(self) -> Engine {
        self.0
    }

    pub fn compute(self, scratch: &mut Scratch<4>) {
        match self.0 {
            // SAFETY: a `Narrow` of these engines exists only where `available` found their features.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => unsafe { avx2::pass(scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Vl | Engine::Avx512 => unsafe { avx512vl::pass(scratch) },
            _ => portable::pass(scratch),
        }
    }
}

impl Wide {
    /// `None` if the CPU cannot.
    pub fn new() -> Option<Self> {
        Engine::Avx512.available().then_some(Self(()))
    }

    pub fn compute(self, scratch: &mut Scratch<8>) {
        // SAFETY: a `Wide` exists only where `available` found the features of AVX-512.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            avx512::pass(scratch);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = scratch;
    }
}

/// Compiles a pass for one kind of CPU, from its circuits, the words in a row and the features it needs.
///
/// Transposition and stages are functions of their own: only as arguments of one are rows known not to
/// overlap, and without that no vector code is made.
macro_rules! code {
    ($name:ident: $boxes:ty, $words:literal $(, $features:literal)?) => {
        mod $name {
            use crate::kernel::{Half, KeyRows, Row, Turns, stage};
            use crate::scratch::Scratch;

            $(#[target_feature(enable = $features)])?
            pub fn pass(scratch: &mut Scratch<$words>) {
                scratch.compute(
                    |rows| transpose(rows),
                    |l, r, key, turns| uniform(l, r, key, turns),
                    |l, r, key, turns, mask| mixed(l, r, key, turns, mask),
                );
            }

            $(#[target_feature(enable = $features)])?
            #[inline(never)]
            fn transpose(rows: &mut [Row<$words>; 64]) {
                crate::transpose::transpose(rows);
            }

            $(#[target_feature(enable = $features)])?
            #[inline(never)]
            fn uniform(l: &mut Half<$words>, r: &mut Half<$words>, key: &KeyRows<$words>, turns: &Turns) {
                stage::<$boxes, $words, false>(l, r, key, [turns; 2], &[0; $words]);
            }

            $(#[target_feature(enable = $features)])?
            #[inline(never)]
            fn mixed(
                l: &mut Half<$words>,
                r: &mut Half<$words>,
                key: &KeyRows<$words>,
                turns: [&Turns; 2],
                mask: &Row<$words>,
            ) {
                stage::<$boxes, $words, true>(l, r, key, turns, mask);
            }
        }
    };
}

code!(portable: crate::sboxes::Two, 4);
#[cfg(target_arch = "x86_64")]
code!(avx2: crate::sboxes::Two, 4, "avx2");
#[cfg(target_arch = "x86_64")]
code!(avx512vl: crate::sboxes::Three, 4, "avx512f,avx512vl");
#[cfg(target_arch = "x86_64")]
code!(avx512: crate::sboxes::Three, 8, "avx512f,avx512vl");
