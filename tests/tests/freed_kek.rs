//! A root KEK that a node forms from components passes through threads and queues: no block of memory that is given back
//! has it.
#![allow(unsafe_code)] // the allocator that looks at what is freed; the test itself has none
#![allow(clippy::unwrap_used)]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use gateway::node::{Installer, InstallerLmks};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use paytypes::ClearKey;
use std::alloc::System;
use std::sync::Arc;

/// The key: nothing else looks like it.
const KEY: [u8; 32] = *b"\xC3root KEK that must not be left\x5A";

static FOUND: AtomicUsize = AtomicUsize::new(0);

/// The system allocator, looking at every block that comes back.
struct Looking;

// SAFETY: every call is handed to the system allocator as it came.
unsafe impl GlobalAlloc for Looking {
    // Zeroed, so that every byte of a block may be read.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the block is of this size, whole and ours until it is handed on.
        let block = unsafe { core::slice::from_raw_parts(old, layout.size()) };
        if block.windows(16).any(|part| part == &KEY[..16]) {
            FOUND.fetch_add(1, SeqCst);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

fn freed_with_the_key(work: impl FnOnce()) -> usize {
    let before = FOUND.load(SeqCst);
    work();
    // Threads end after those who wait for them go on.
    std::thread::sleep(std::time::Duration::from_millis(300));
    FOUND.load(SeqCst) - before
}

#[test]
fn a_formed_root_kek_is_in_no_block_that_was_freed() {
    let found = freed_with_the_key(|| drop(std::hint::black_box(KEY.to_vec())));
    assert_eq!(found, 1, "the allocator looks");
    let found = freed_with_the_key(|| {
        let backend = || -> Box<dyn hsm::Backend> {
            Box::new(Simulator::new(&LmkSet::public_test(), Options::default()).unwrap())
        };
        let lmks = InstallerLmks { traffic: LmkId(0), kek: LmkId(2) };
        let installer = Installer::start(Arc::new(backend), lmks).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let formed = runtime.block_on(installer.form(1, ClearKey::new(&KEY).unwrap(), [7; 32]));
        assert_eq!(formed.unwrap().0.number, 1);
    });
    assert_eq!(found, 0);
}
