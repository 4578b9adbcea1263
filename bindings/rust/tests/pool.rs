// SPDX-License-Identifier: MIT
//! Where blocks go: the five seed examples, over-aligned layouts, and a naive model.

use ffalloc::{pool_size_for, FfAlloc, FfAllocIn, GRANULE};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A pool of so many granules ("units"), in memory of its own.
struct Units {
    heap: FfAllocIn,
    _memory: Vec<u128>,
    base: usize,
    sizes: RefCell<BTreeMap<usize, usize>>, // in units, of blocks by where they begin
}

impl Units {
    fn new(units: usize) -> Units {
        let size = pool_size_for(units * GRANULE);
        let mut memory = vec![0u128; (size + 15) / 16];
        let heap = FfAllocIn::empty();
        assert!(unsafe { heap.init(memory.as_mut_ptr().cast(), size) });
        assert_eq!(heap.stats().usable_size, units * GRANULE);
        let base = memory.as_ptr() as usize + size - units * GRANULE;
        Units { heap, _memory: memory, base, sizes: RefCell::default() }
    }

    fn layout(units: usize) -> Layout {
        Layout::from_size_align(units * GRANULE, 1).unwrap()
    }

    /// The unit at which a block begins; None if there is no room.
    fn alloc(&self, units: usize) -> Option<usize> {
        let block = unsafe { self.heap.alloc(Self::layout(units)) } as usize;
        if block == 0 {
            return None;
        }
        let unit = (block - self.base) / GRANULE;
        self.sizes.borrow_mut().insert(unit, units);
        Some(unit)
    }

    fn free(&self, unit: usize) {
        let block = (self.base + unit * GRANULE) as *mut u8;
        let units = self.sizes.borrow_mut().remove(&unit).unwrap();
        unsafe { self.heap.dealloc(block, Self::layout(units)) }
        assert!(self.heap.is_sound());
    }
}

#[test]
fn takes_the_first_units() {
    let pool = Units::new(100);
    assert_eq!(pool.alloc(20), Some(0));
    assert_eq!(pool.alloc(30), Some(20));
}

#[test]
fn a_freed_first_block_is_taken_again() {
    let pool = Units::new(100);
    assert_eq!((pool.alloc(20), pool.alloc(30)), (Some(0), Some(20)));
    pool.free(0);
    assert_eq!(pool.heap.stats().hole_count, 2);
    assert_eq!(pool.alloc(15), Some(0));
}

#[test]
fn all_three_pieces_merge() {
    let pool = Units::new(100);
    assert_eq!((pool.alloc(20), pool.alloc(30)), (Some(0), Some(20)));
    pool.free(0);
    pool.free(20);
    assert_eq!(pool.heap.stats().hole_count, 1);
    assert_eq!(pool.alloc(100), Some(0));
}

#[test]
fn the_sum_of_the_holes_is_not_enough() {
    let pool = Units::new(100);
    assert_eq!((pool.alloc(20), pool.alloc(30), pool.alloc(50)), (Some(0), Some(20), Some(50)));
    pool.free(0);
    pool.free(50);
    assert_eq!(pool.heap.stats().free_size, 70 * GRANULE);
    assert_eq!(pool.alloc(60), None);
    assert_eq!(pool.alloc(50), Some(50));
}

#[test]
fn too_large_is_null() {
    let pool = Units::new(100);
    assert_eq!(pool.alloc(101), None);
    assert_eq!(pool.alloc(100), Some(0));
    assert_eq!(pool.alloc(1), None);
}

#[test]
fn nothing_without_memory() {
    let heap: FfAllocIn = FfAllocIn::empty();
    assert!(unsafe { heap.alloc(Layout::new::<u64>()) }.is_null());
    assert!(!unsafe { heap.init(16 as *mut u8, 8) });
    static SMALL: FfAlloc<8> = FfAlloc::new();
    assert!(unsafe { SMALL.alloc(Layout::new::<u64>()) }.is_null());
}

#[test]
fn a_static_heap_of_1024_bytes() {
    static HEAP: FfAlloc<1024> = FfAlloc::new();
    let layout = Layout::from_size_align(100, 8).unwrap();
    let mut blocks = Vec::new();
    loop {
        let block = unsafe { HEAP.alloc(layout) };
        if block.is_null() {
            break;
        }
        blocks.push(block);
    }
    assert!(blocks.len() >= 7, "{:?}", HEAP.stats());
    for block in blocks {
        unsafe { HEAP.dealloc(block, layout) };
    }
    assert_eq!(HEAP.stats().block_count, 0);
}

#[test]
fn layouts_of_no_size_and_of_every_alignment() {
    static HEAP: FfAlloc<65536> = FfAlloc::new();
    for log2 in 0..=14 {
        for size in [0usize, 1, 100] {
            let layout = Layout::from_size_align(size, 1 << log2).unwrap();
            unsafe {
                let block = HEAP.alloc_zeroed(layout);
                assert!(!block.is_null() && block as usize % layout.align() == 0);
                assert!((0..size).all(|i| *block.add(i) == 0));
                block.write_bytes(0xa5, size);
                let larger = HEAP.realloc(block, layout, size + 3000);
                assert!(!larger.is_null() && larger as usize % layout.align() == 0);
                assert!((0..size).all(|i| *larger.add(i) == 0xa5));
                let layout = Layout::from_size_align(size + 3000, 1 << log2).unwrap();
                HEAP.dealloc(larger, layout);
            }
        }
    }
    assert_eq!(HEAP.stats().block_count, 0);
    assert!(HEAP.is_sound());
}

#[test]
fn a_realloc_that_cannot_be_keeps_the_block() {
    let pool = Units::new(10);
    assert_eq!((pool.alloc(4), pool.alloc(4)), (Some(0), Some(4)));
    let block = pool.base as *mut u8;
    unsafe {
        *block = 7;
        assert!(pool.heap.realloc(block, Units::layout(4), 20 * GRANULE).is_null());
        assert_eq!(*block, 7);
    }
    assert_eq!(pool.heap.stats().block_count, 2);
}

/// A unit of the model: whose block it is, 0 for free.
struct Model(Vec<usize>);

impl Model {
    /// The lowest place of so many units at that alignment.
    fn place(&self, units: usize) -> Option<usize> {
        (0..self.0.len() + 1).find(|&at| {
            at + units <= self.0.len() && self.0[at..at + units].iter().all(|&owner| owner == 0)
        })
    }
}

#[test]
fn the_naive_model_agrees() {
    for seed in 1..=20u64 {
        let pool = Units::new(500);
        let mut model = Model(vec![0; 500]);
        let mut live: Vec<usize> = Vec::new();
        let mut state = seed;
        let mut draw = |limit: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % limit
        };
        for call in 1..3000usize {
            if draw(2) == 0 && !live.is_empty() {
                let unit = live.swap_remove(draw(live.len()));
                let owner = model.0[unit];
                model.0.iter_mut().filter(|u| **u == owner).for_each(|u| *u = 0);
                pool.free(unit);
                continue;
            }
            let units = if draw(8) == 0 { 1 + draw(120) } else { 1 + draw(9) };
            let expected = model.place(units);
            assert_eq!(pool.alloc(units), expected, "seed {} call {}", seed, call);
            if let Some(unit) = expected {
                model.0[unit..unit + units].iter_mut().for_each(|u| *u = call);
                live.push(unit);
            }
        }
    }
}
