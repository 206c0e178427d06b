//! A PIN translation in steady state allocates nothing: frame in, frame out, on the simulator with its keys
//! in the cache (ARCHITECTURE.md, the way of one command).
#![allow(unsafe_code)] // the counting allocator; the tests themselves have none

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use hostcmd::{Engine, Finished, Port, Settings, Ticket, Unit};
use hsm::{Hsm, LmkId};
use hsm_sim::{LmkSet, Options, Simulator};
use serde::Deserialize;
use std::alloc::System;
use std::rc::Rc;

thread_local! {
    // Constant and without a destructor, so that reading it allocates nothing itself.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system allocator, counting what each thread asks of it.
struct Counting;

fn count() {
    COUNT.with(|count| count.set(count.get().wrapping_add(1)));
}

// SAFETY: every call is handed to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    command: String,
    slot: u8,
    kind: String,
    needs: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    req: String,
}

/// Requests of a command that are answered 00 under an LMK.
fn requests(command: &str, lmk: u8) -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/wire-examples.json");
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let wanted =
        |c: &Case| c.command == command && c.slot == lmk && c.kind == "positive" && c.needs.is_empty();
    let frame = |case: Case| {
        assert_eq!(case.steps.len(), 1, "{}", case.id);
        let characters = case.steps[0].req.chars().map(|c| u8::try_from(c).unwrap());
        b"HEAD".iter().copied().chain(characters).collect()
    };
    vectors.cases.into_iter().filter(wanted).map(frame).collect()
}

struct Line {
    engine: Engine,
    port: Rc<Port>,
    tickets: Vec<Ticket>,
    replies: Vec<u8>,
}

impl Line {
    fn new(lmk: u8) -> Self {
        Self::with_queue(lmk, Hsm::new())
    }

    fn with_queue(lmk: u8, hsm: Hsm) -> Self {
        let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        let engine = Engine::with_queue(Box::new(simulator), Unit::default(), hsm);
        let port = Rc::new(Port::new(LmkId(lmk), Settings::LEGACY));
        Self { engine, port, tickets: Vec::new(), replies: Vec::new() }
    }

    fn batch(&mut self, frames: &[Vec<u8>], size: usize) {
        self.replies.clear();
        for frame in frames.iter().cycle().take(size) {
            self.tickets.push(self.engine.submit(&self.port, frame));
        }
        self.engine.run();
        for ticket in self.tickets.drain(..) {
            let finished = self.engine.finish(ticket, &mut self.replies);
            assert!(matches!(finished, Finished::Reply { code: hostcmd::Code::OK, .. }));
        }
    }
}

fn steady_state_allocates_nothing(command: &str, lmk: u8, size: usize) {
    let frames = requests(command, lmk);
    assert!(!frames.is_empty(), "{command} under LMK {lmk}");
    let mut line = Line::new(lmk);
    // The first batches open the keys and size the buffers.
    let first = allocations_of(|| line.batch(&frames, size));
    assert!(first > 0, "the counter counts");
    for _ in 0..2 {
        line.batch(&frames, size.max(frames.len()));
        line.batch(&frames, size);
    }
    let allocations = allocations_of(|| {
        for _ in 0..100 {
            line.batch(&frames, size);
        }
    });
    assert_eq!(allocations, 0, "{command} under LMK {lmk}, batches of {size}");
}

#[test]
fn translation_allocates_nothing() {
    for lmk in [0, 1, 2] {
        for size in [1, 16, 64] {
            steady_state_allocates_nothing("CC", lmk, size);
        }
    }
}

// Without a cache every key is one that was never seen. Its body is that of a key which is gone.
#[test]
fn a_key_that_is_opened_or_derived_allocates_nothing() {
    for (command, cache, lmk) in [("CC", 0, 0), ("CC", 0, 1), ("CC", 0, 2), ("G0", 1 << 20, 0)] {
        let frames = requests(command, lmk);
        let mut line = Line::with_queue(lmk, Hsm::with_cache(cache));
        for _ in 0..3 {
            line.batch(&frames, 64);
        }
        let allocations = allocations_of(|| (0..10).for_each(|_| line.batch(&frames, 64)));
        assert_eq!(allocations, 0, "{command} under LMK {lmk}");
    }
}
