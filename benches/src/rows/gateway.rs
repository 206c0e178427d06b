//! The gateway against the echo of the same loop, and against itself with other keys or commands.

use super::{Bench, Row, Unit};
use crate::client::{Batch, Plan};
use crate::frames::{self, AES_BLOCK, TDES_BLOCK, VARIANT};
use hsm::LmkId;
use std::io;

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// PIN block, ZPK to ZPK.
    Cc,
    /// PIN block, TDES DUKPT to ZPK.
    G0,
}

/// A row of the gateway against the echo.
pub struct ByEcho {
    pub id: &'static str,
    pub what: &'static str,
    pub command: Command,
    pub lmk: LmkId,
    pub connections: usize,
    pub depth: usize,
    pub goals: Option<(f64, f64)>,
}

macro_rules! by_echo {
    ($($id:literal $what:literal $command:ident $lmk:ident $connections:literal x $depth:literal $goals:expr;)*) => {
        /// All of them.
        pub const BY_ECHO: &[ByEcho] = &[$(ByEcho {
            id: $id,
            what: $what,
            command: Command::$command,
            lmk: $lmk,
            connections: $connections,
            depth: $depth,
            goals: $goals,
        }),*];
    };
}

by_echo! {
    "cc-8x64" "gateway / echo, CC, variant LMK, 8×64" Cc VARIANT 8 x 64 Some((0.40, 0.60));
    "cc-64x16" "gateway / echo, CC, variant LMK, 64×16" Cc VARIANT 64 x 16 Some((0.65, 0.85));
    "cc-1000x1" "gateway / echo, CC, variant LMK, 1000×1" Cc VARIANT 1000 x 1 Some((0.90, 0.97));
    "cc-1x1" "gateway / echo, CC, variant LMK, 1×1" Cc VARIANT 1 x 1 Some((0.85, 0.95));
    "g0-1x1" "gateway / echo, G0, variant LMK, 1×1" G0 VARIANT 1 x 1 None;
    "cc-tdes-8x64" "gateway / echo, CC, 3DES block LMK, 8×64" Cc TDES_BLOCK 8 x 64 None;
    "cc-aes-8x64" "gateway / echo, CC, AES block LMK, 8×64" Cc AES_BLOCK 8 x 64 None;
}

/// Measures one.
pub fn by_echo(bench: &mut Bench, row: &ByEcho) -> io::Result<Row> {
    let exchanges = match row.command {
        Command::Cc => bench.translations(row.lmk, true)?,
        Command::G0 => bench.dukpt(row.lmk)?,
    };
    let batches = frames::batches(&exchanges, row.depth);
    let plan = bench.plan(&batches, row.connections);
    let pairs = bench.pairs(|| bench.on_echo(row.lmk, &plan), || bench.on_engine(row.lmk, &plan))?;
    if row.id == "cc-8x64" {
        bench.maximum = Some(crate::stats::Spread::of(pairs.iter().map(|(_, engine)| engine.rate)).median);
    }
    let new = Row::new(row.id, row.what, Unit::RatioUp, row.goals);
    Ok(new.of_pairs(("echo", "gateway"), &pairs))
}

/// A row of keys never seen against keys seen.
pub struct Unseen {
    pub id: &'static str,
    pub what: &'static str,
    pub lmk: LmkId,
    pub goals: Option<(f64, f64)>,
}

/// All of them.
pub const UNSEEN: &[Unseen] = &[
    Unseen {
        id: "unseen-variant",
        what: "keys never seen / seen, variant LMK, 8×64",
        lmk: VARIANT,
        goals: Some((0.6, 0.85)),
    },
    Unseen {
        id: "unseen-tdes",
        what: "keys never seen / seen, 3DES block LMK, 8×64",
        lmk: TDES_BLOCK,
        goals: None,
    },
    Unseen {
        id: "unseen-aes",
        what: "keys never seen / seen, AES block LMK, 8×64",
        lmk: AES_BLOCK,
        goals: Some((0.4, 0.75)),
    },
];

/// Measures one. A key counts as never seen when so many others come before it does again that no cache of the
/// size that is allowed still holds it. Since a full cache keeps what it has, it is filled with other keys
/// before, each time.
pub fn unseen(bench: &mut Bench, row: &Unseen) -> io::Result<Row> {
    let seen = frames::batches(&bench.translations(row.lmk, true)?, 64);
    let unseen = frames::batches(&bench.translations(row.lmk, false)?, 64);
    let others = frames::batches(&bench.others(row.lmk)?, 64);
    let run = |batches: &[Batch]| {
        let plan = Plan { connections: 8, batches, duration: bench.duration };
        bench.on_engine(row.lmk, &plan)
    };
    let never_seen = || run(&others).and_then(|_| run(&unseen));
    let pairs = bench.pairs(|| run(&seen), never_seen)?;
    let new = Row::new(row.id, row.what, Unit::RatioUp, row.goals);
    Ok(new.of_pairs(("seen", "never seen"), &pairs))
}

/// G0 against CC.
pub fn dukpt_by_cc(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let cc = frames::batches(&bench.translations(VARIANT, true)?, 64);
    let g0 = frames::batches(&bench.dukpt(VARIANT)?, 64);
    let run = |batches: &[Batch]| bench.on_engine(VARIANT, &bench.plan(batches, 8));
    let pairs = bench.pairs(|| run(&cc), || run(&g0))?;
    let new = Row::new(id, "G0 (TDES DUKPT) / CC, variant LMK, 8×64", Unit::RatioUp, Some((0.3, 0.6)));
    Ok(new.of_pairs(("CC", "G0"), &pairs))
}
