// SPDX-License-Identifier: MIT
//! A layout told back that is not the block's ends a program that has debug assertions.

use ffalloc::{pool_size_for, FfAllocIn, GRANULE};
use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// Frees a block of 100 bytes as one of so many; twice for 0.
fn free_as(told: usize) {
    let size = pool_size_for(100 * GRANULE);
    let mut memory = vec![0u128; (size + 15) / 16];
    let heap = FfAllocIn::empty();
    unsafe {
        assert!(heap.init(memory.as_mut_ptr().cast(), size));
        let block = heap.alloc(layout(100));
        heap.dealloc(block, layout(if told == 0 { 100 } else { told }));
        if told == 0 {
            heap.dealloc(block, layout(100));
        }
    }
}

#[test]
fn a_wrong_one_aborts() {
    if let Ok(told) = std::env::var("FREE_AS") {
        free_as(told.parse().unwrap());
        return;
    }
    let rounded = (100 + GRANULE - 1) / GRANULE * GRANULE;
    for (told, is_right) in [(100, true), (rounded, true), (rounded + 1, false), (8, false), (0, false)] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["a_wrong_one_aborts", "--nocapture"])
            .env("FREE_AS", told.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), is_right || !cfg!(debug_assertions), "{} {}", told, text);
        assert_eq!(text.contains("dealloc with a layout of"), !output.status.success(), "{} {}", told, text);
    }
}
