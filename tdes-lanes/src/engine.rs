//! The one place that knows CPUs: which code a pass runs on, found once, and the calls into functions that
//! need a feature.
#![expect(unsafe_code, reason = "calling a function compiled for a CPU feature, after the feature was found")]

use crate::sboxes::Two;
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
            Engine::Avx2 => unsafe { x86::avx2(scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Vl | Engine::Avx512 => unsafe { x86::avx512_256(scratch) },
            _ => portable(scratch),
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
            x86::avx512_512(scratch);
        }
        #[cfg(not(target_arch = "x86_64"))]
        scratch.compute::<Two>();
    }
}

#[inline(never)]
fn portable(scratch: &mut Scratch<4>) {
    scratch.compute::<Two>();
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::sboxes::{Three, Two};
    use crate::scratch::Scratch;

    #[target_feature(enable = "avx2")]
    #[inline(never)]
    pub fn avx2(scratch: &mut Scratch<4>) {
        scratch.compute::<Two>();
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline(never)]
    pub fn avx512_256(scratch: &mut Scratch<4>) {
        scratch.compute::<Three>();
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline(never)]
    pub fn avx512_512(scratch: &mut Scratch<8>) {
        scratch.compute::<Three>();
    }
}
