// SPDX-License-Identifier: MIT
//! Exact address-ordered first fit in a fixed pool of memory, as a [`GlobalAlloc`].
//!
//! Every request takes the lowest address at which enough memory is free; a freed block merges at
//! once with both neighbours; no call is slower than the logarithm of the pool. The core is the C of
//! ffalloc, unchanged; this crate depends on nothing but `core`.
//!
//! ```
//! use ffalloc::{FfAlloc, SpinLock};
//!
//! #[global_allocator]
//! static HEAP: FfAlloc<{ 1024 * 1024 }, SpinLock> = FfAlloc::new();
//!
//! let squares: Vec<u32> = (0..100).map(|n| n * n).collect();
//! assert!(HEAP.stats().used_size >= 400);
//! assert_eq!(squares[99], 9801);
//! ```
//!
//! # One thread
//!
//! A pool serves one caller at a time, and says so by its lock. [`SingleThread`], the default, does
//! nothing: whoever uses it promises that no two threads, and no interrupt handler, use the allocator
//! at once. Where that is not so, use [`SpinLock`], or implement [`Lock`] by a critical section.

#![no_std]
#![deny(missing_docs)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

#[repr(C)]
struct Pool {
    _private: [u8; 0],
}

/// Numbers of a pool, in bytes unless they count something. `ffalloc.h` says of each what it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub granule: usize,
    pub usable_size: usize,
    pub used_size: usize,
    pub peak_used_size: usize,
    pub free_size: usize,
    pub least_free_size: usize,
    pub largest_hole_size: usize,
    pub smallest_hole_size: usize,
    pub hole_count: usize,
    pub block_count: usize,
    pub alloc_count: usize,
    pub free_count: usize,
    pub failed_count: usize,
    pub largest_request_size: usize,
    pub slack_total_size: usize,
    pub high_water_size: usize,
}

extern "C" {
    fn ffalloc_init(memory: *mut c_void, size: usize) -> *mut Pool;
    fn ffalloc_malloc(pool: *mut Pool, size: usize) -> *mut c_void;
    fn ffalloc_calloc(pool: *mut Pool, count: usize, size: usize) -> *mut c_void;
    fn ffalloc_aligned_alloc(pool: *mut Pool, alignment: usize, size: usize) -> *mut c_void;
    fn ffalloc_realloc(pool: *mut Pool, block: *mut c_void, size: usize) -> *mut c_void;
    fn ffalloc_resize(pool: *mut Pool, block: *mut c_void, size: usize) -> bool;
    fn ffalloc_free(pool: *mut Pool, block: *mut c_void);
    fn ffalloc_stats(pool: *const Pool, stats: *mut Stats);
    fn ffalloc_check(pool: *const Pool, fault: *mut c_void) -> bool;
    fn ffalloc_pool_size_for(granules: usize, granule: usize) -> usize;
}

/// Bytes of a granule: sizes are rounded up to it, and every block is aligned to it.
pub const GRANULE: usize = if core::mem::size_of::<usize>() == 8 { 16 } else { 8 };

/// The least memory, aligned to [`GRANULE`], whose pool has room for `usable_size` bytes; 0 if and
/// only if there is no such size.
pub fn pool_size_for(usable_size: usize) -> usize {
    let granules = usable_size / GRANULE + usize::from(usable_size % GRANULE != 0);
    // SAFETY: no pointer is passed.
    unsafe { ffalloc_pool_size_for(granules, GRANULE) }
}

/// What keeps the callers of a pool apart.
///
/// # Safety
///
/// Two calls of [`locked`](Lock::locked) on one lock must not run their functions at the same time,
/// not even partly: not on another thread, and not in an interrupt handler.
pub unsafe trait Lock {
    /// A lock that nobody holds.
    const NEW: Self;

    /// Runs a function while nobody else does on this lock.
    fn locked<R>(&self, function: impl FnOnce() -> R) -> R;
}

/// No lock at all, for programs of one thread whose interrupt handlers do not allocate.
pub struct SingleThread;

// SAFETY: the user of the allocator promises it; see the crate's documentation.
unsafe impl Lock for SingleThread {
    const NEW: Self = SingleThread;

    fn locked<R>(&self, function: impl FnOnce() -> R) -> R {
        function()
    }
}

/// A lock that waits by turning round, for threads. An interrupt handler must not use it: what it has
/// interrupted may hold the lock.
pub struct SpinLock {
    is_held: AtomicBool,
}

// SAFETY: the exchange succeeds for one caller at a time.
unsafe impl Lock for SpinLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const NEW: Self = SpinLock { is_held: AtomicBool::new(false) };

    fn locked<R>(&self, function: impl FnOnce() -> R) -> R {
        while self
            .is_held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::hint::spin_loop();
        }
        let result = function();
        self.is_held.store(false, Ordering::Release);
        result
    }
}

/// A pool in memory that the caller provides; before [`init`](FfAllocIn::init) it serves nothing.
pub struct FfAllocIn<L: Lock = SingleThread> {
    pool: UnsafeCell<*mut Pool>,
    lock: L,
}

// SAFETY: the pool is touched only while the lock is held.
unsafe impl<L: Lock> Sync for FfAllocIn<L> {}
// SAFETY: the pool belongs to no thread.
unsafe impl<L: Lock> Send for FfAllocIn<L> {}

impl<L: Lock> Default for FfAllocIn<L> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<L: Lock> FfAllocIn<L> {
    /// An allocator without memory: every request returns null.
    pub const fn empty() -> Self {
        FfAllocIn { pool: UnsafeCell::new(ptr::null_mut()), lock: L::NEW }
    }

    /// Makes the pool in `size` bytes at `memory`. Returns false if and only if not one granule fits.
    ///
    /// # Safety
    ///
    /// The memory is the allocator's alone from here on, as long as it or a block of it is used, and no
    /// block of an earlier pool is in use.
    pub unsafe fn init(&self, memory: *mut u8, size: usize) -> bool {
        self.lock.locked(|| {
            let pool = ffalloc_init(memory.cast(), size);
            *self.pool.get() = pool;
            !pool.is_null()
        })
    }

    /// The pool's numbers; all 0 if there is no pool. Walks the holes.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.with(|pool| {
            // SAFETY: `with` passes a live pool.
            unsafe { ffalloc_stats(pool, &mut stats) };
            ptr::null_mut()
        });
        stats
    }

    /// Whether every invariant of the pool holds. Walks it.
    pub fn is_sound(&self) -> bool {
        let mut is_sound = true;
        self.with(|pool| {
            // SAFETY: `with` passes a live pool, and no fault is asked for.
            is_sound = unsafe { ffalloc_check(pool, ptr::null_mut()) };
            ptr::null_mut()
        });
        is_sound
    }

    /// Calls a function with the pool, the lock being held; null if there is none.
    fn with(&self, function: impl FnOnce(*mut Pool) -> *mut c_void) -> *mut u8 {
        self.lock.locked(|| {
            // SAFETY: the lock is held.
            let pool = unsafe { *self.pool.get() };
            if pool.is_null() {
                ptr::null_mut()
            } else {
                function(pool).cast()
            }
        })
    }

    /// Makes the pool in `memory` at the first call.
    fn init_once(&self, memory: *mut u8, size: usize) {
        self.lock.locked(|| {
            // SAFETY: the lock is held, and the memory is the allocator's own.
            unsafe {
                if (*self.pool.get()).is_null() {
                    *self.pool.get() = ffalloc_init(memory.cast(), size);
                }
            }
        });
    }
}

// SAFETY: the core hands out memory that overlaps with no other live block, aligned as asked, and null
// when there is none; a block keeps its contents until it is freed.
unsafe impl<L: Lock> GlobalAlloc for FfAllocIn<L> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|pool| {
            if layout.align() <= GRANULE {
                ffalloc_malloc(pool, layout.size())
            } else {
                ffalloc_aligned_alloc(pool, layout.align(), layout.size())
            }
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        self.with(|pool| {
            ffalloc_free(pool, block.cast());
            ptr::null_mut()
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= GRANULE {
            return self.with(|pool| ffalloc_calloc(pool, 1, layout.size()));
        }
        let block = self.alloc(layout);
        if !block.is_null() {
            ptr::write_bytes(block, 0, layout.size());
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= GRANULE {
            return self.with(|pool| ffalloc_realloc(pool, block.cast(), new_size));
        }
        // The core's realloc moves to the granule's alignment: in place, or by hand.
        let resized = self.with(|pool| {
            if ffalloc_resize(pool, block.cast(), new_size) {
                block.cast()
            } else {
                ptr::null_mut()
            }
        });
        if !resized.is_null() {
            return resized;
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
            self.dealloc(block, layout);
        }
        moved
    }
}

#[repr(C, align(16))]
struct Memory<const SIZE: usize>(UnsafeCell<MaybeUninit<[u8; SIZE]>>);

/// An allocator with `SIZE` bytes of its own, metadata included.
///
/// ```
/// use ffalloc::FfAlloc;
///
/// static HEAP: FfAlloc<1024> = FfAlloc::new();
/// ```
pub struct FfAlloc<const SIZE: usize, L: Lock = SingleThread> {
    heap: FfAllocIn<L>,
    memory: Memory<SIZE>,
}

// SAFETY: the memory is touched only through the heap, which takes the lock.
unsafe impl<const SIZE: usize, L: Lock> Sync for FfAlloc<SIZE, L> {}

impl<const SIZE: usize, L: Lock> Default for FfAlloc<SIZE, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SIZE: usize, L: Lock> FfAlloc<SIZE, L> {
    /// An allocator whose pool is made at the first call. It must not be moved after that: let it be a
    /// `static`.
    pub const fn new() -> Self {
        FfAlloc {
            heap: FfAllocIn::empty(),
            memory: Memory(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    /// As [`FfAllocIn::stats`].
    pub fn stats(&self) -> Stats {
        self.heap().stats()
    }

    /// As [`FfAllocIn::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.heap().is_sound()
    }

    fn heap(&self) -> &FfAllocIn<L> {
        self.heap.init_once(self.memory.0.get().cast(), SIZE);
        &self.heap
    }
}

// SAFETY: as FfAllocIn.
unsafe impl<const SIZE: usize, L: Lock> GlobalAlloc for FfAlloc<SIZE, L> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.heap().alloc(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.heap.dealloc(block, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.heap().alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.heap.realloc(block, layout, new_size)
    }
}
