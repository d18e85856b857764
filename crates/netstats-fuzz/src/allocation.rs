//! An allocator that finds lengths taken from the input unchecked: memory that is asked for and never touched does not
//! show in what the process holds.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of one allocation, at most. Nothing that reads bytes from outside needs as much.
const MOST_BYTES: usize = 64 << 20;

/// The system's allocator up to 64 MiB at once. Past that it panics, which ends a fuzz target with the input kept.
#[derive(Debug)]
pub struct Bounded;

fn check(bytes: usize) {
    // The fuzzer's panic hook ends the process: nothing unwinds through an allocator.
    assert!(bytes <= MOST_BYTES, "one allocation of {bytes} bytes");
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; every call is handed on as it is")]
// SAFETY: all calls go to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        check(new_bytes);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, new_bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}
