// SPDX-License-Identifier: MIT
//! Exact address-ordered first fit in a fixed pool of memory, as a [`GlobalAlloc`].
//!
//! Every request takes the lowest address at which enough memory is free; a freed block merges at
//! once with both neighbours; no call is slower than the logarithm of the pool. The core is the C of
//! ffalloc, unchanged; this crate depends on nothing but `core`.
//!
//! ```
//! use ffalloc::FfAlloc;
//!
//! #[global_allocator]
//! static HEAP: FfAlloc<{ 1024 * 1024 }> = FfAlloc::new();
//!
//! let squares: Vec<u32> = (0..100).map(|n| n * n).collect();
//! assert!(HEAP.stats().used_size >= 400);
//! assert_eq!(squares[99], 9801);
//! ```
//!
//! # Locks
//!
//! A pool serves one caller at a time; its [`Lock`] sees to that. [`SpinLock`], the default, is for
//! threads. Where interrupt handlers allocate, implement [`Lock`] by a critical section and pass it to
//! [`FfAlloc::with_lock`]; so must targets without atomic exchange, as `thumbv6m`, which have no
//! [`SpinLock`]. [`SingleThread`] is no lock at all, and making one takes `unsafe`.
//!
//! ```compile_fail,E0133
//! use ffalloc::{FfAlloc, SingleThread};
//! static HEAP: FfAlloc<1024, SingleThread> = FfAlloc::with_lock(SingleThread::new());
//! ```
//!
//! ```compile_fail,E0599
//! use ffalloc::{FfAlloc, SingleThread};
//! static HEAP: FfAlloc<1024, SingleThread> = FfAlloc::new();
//! ```

#![no_std]
#![deny(missing_docs)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
#[cfg(target_has_atomic = "8")]
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
    fn ffalloc_release(pool: *mut Pool, block: *mut c_void) -> usize;
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
    /// Runs a function while nobody else does on this lock.
    fn locked<R>(&self, function: impl FnOnce() -> R) -> R;
}

/// No lock at all, for programs of one thread whose interrupt handlers do not allocate.
pub struct SingleThread {
    _private: (),
}

impl SingleThread {
    /// The promise that one thread alone uses the allocator.
    ///
    /// ```
    /// use ffalloc::{FfAlloc, SingleThread};
    ///
    /// // SAFETY: this program has one thread.
    /// static HEAP: FfAlloc<1024, SingleThread> = FfAlloc::with_lock(unsafe { SingleThread::new() });
    /// ```
    ///
    /// # Safety
    ///
    /// No two threads, and no interrupt handler and what it interrupts, use at once what this is passed
    /// to.
    pub const unsafe fn new() -> Self {
        SingleThread { _private: () }
    }
}

// SAFETY: whoever made it promised so.
unsafe impl Lock for SingleThread {
    fn locked<R>(&self, function: impl FnOnce() -> R) -> R {
        function()
    }
}

/// A lock that waits by turning round, for threads. An interrupt handler that finds it held by what it
/// has interrupted waits for ever.
#[cfg(target_has_atomic = "8")]
pub struct SpinLock {
    is_held: AtomicBool,
}

#[cfg(target_has_atomic = "8")]
impl SpinLock {
    /// A lock that nobody holds.
    pub const fn new() -> Self {
        SpinLock { is_held: AtomicBool::new(false) }
    }
}

#[cfg(target_has_atomic = "8")]
impl Default for SpinLock {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the exchange succeeds for one caller at a time.
#[cfg(target_has_atomic = "8")]
unsafe impl Lock for SpinLock {
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

/// The lock of an allocator that names none.
#[cfg(target_has_atomic = "8")]
pub type DefaultLock = SpinLock;

/// This target has no atomic exchange: name a [`Lock`] of your own.
#[cfg(not(target_has_atomic = "8"))]
pub enum DefaultLock {}

/// What has a pool and a lock, and calls a function with the pool while the lock is held.
trait Pooled {
    /// Null if there is no pool.
    fn with(&self, function: impl FnOnce(*mut Pool) -> *mut c_void) -> *mut u8;
}

fn stats_of(heap: &impl Pooled) -> Stats {
    let mut stats = Stats::default();
    heap.with(|pool| {
        // SAFETY: `with` passes a live pool.
        unsafe { ffalloc_stats(pool, &mut stats) };
        ptr::null_mut()
    });
    stats
}

fn is_sound(heap: &impl Pooled) -> bool {
    let mut is_sound = true;
    heap.with(|pool| {
        // SAFETY: `with` passes a live pool, and no fault is asked for.
        is_sound = unsafe { ffalloc_check(pool, ptr::null_mut()) };
        ptr::null_mut()
    });
    is_sound
}

// SAFETY (of the four): what GlobalAlloc demands of its caller is what these demand of theirs.

unsafe fn alloc(heap: &impl Pooled, layout: Layout) -> *mut u8 {
    heap.with(|pool| {
        if layout.align() <= GRANULE {
            ffalloc_malloc(pool, layout.size())
        } else {
            ffalloc_aligned_alloc(pool, layout.align(), layout.size())
        }
    })
}

unsafe fn dealloc(heap: &impl Pooled, block: *mut u8, layout: Layout) {
    let mut size = 0;
    heap.with(|pool| {
        size = ffalloc_release(pool, block.cast());
        ptr::null_mut()
    });
    if cfg!(debug_assertions) && size != rounded(layout.size()) {
        wrong_layout(size, layout.size());
    }
}

/// The bytes that a request of `size` bytes takes.
fn rounded(size: usize) -> usize {
    (size + usize::from(size == 0) + GRANULE - 1) & !(GRANULE - 1)
}

/// Panics twice, and so aborts: an allocator must not unwind.
#[cold]
fn wrong_layout(size: usize, told: usize) -> ! {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            panic!("an allocator must not unwind");
        }
    }
    let _abort = Abort;
    panic!("dealloc with a layout of {told} bytes: the block has {size}, or is none");
}

unsafe fn alloc_zeroed(heap: &impl Pooled, layout: Layout) -> *mut u8 {
    if layout.align() <= GRANULE {
        return heap.with(|pool| ffalloc_calloc(pool, 1, layout.size()));
    }
    let block = alloc(heap, layout);
    if !block.is_null() {
        ptr::write_bytes(block, 0, layout.size());
    }
    block
}

unsafe fn realloc(heap: &impl Pooled, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    if layout.align() <= GRANULE {
        return heap.with(|pool| ffalloc_realloc(pool, block.cast(), new_size));
    }
    // The core's realloc moves to the granule's alignment: in place, or by hand.
    let resized = heap.with(|pool| {
        if ffalloc_resize(pool, block.cast(), new_size) {
            block.cast()
        } else {
            ptr::null_mut()
        }
    });
    if !resized.is_null() {
        return resized;
    }
    let moved = alloc(heap, Layout::from_size_align_unchecked(new_size, layout.align()));
    if !moved.is_null() {
        ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
        dealloc(heap, block, layout);
    }
    moved
}

/// [`GlobalAlloc`] of a type that is [`Pooled`].
macro_rules! global_alloc {
    ($($parameters:tt)*) => {
        // SAFETY: the core hands out memory that overlaps with no other live block, aligned as asked,
        // and null when there is none; a block keeps its contents until it is freed.
        unsafe impl $($parameters)* {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                alloc(self, layout)
            }

            unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
                dealloc(self, block, layout)
            }

            unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                alloc_zeroed(self, layout)
            }

            unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                realloc(self, block, layout, new_size)
            }
        }
    };
}

/// A pool in memory that the caller provides; before [`init`](FfAllocIn::init) it serves nothing.
pub struct FfAllocIn<L = DefaultLock> {
    pool: UnsafeCell<*mut Pool>,
    lock: L,
}

// SAFETY: the pool is touched only while the lock is held.
unsafe impl<L: Lock + Sync> Sync for FfAllocIn<L> {}
// SAFETY: the pool belongs to no thread.
unsafe impl<L: Lock + Send> Send for FfAllocIn<L> {}

#[cfg(target_has_atomic = "8")]
impl FfAllocIn {
    /// An allocator without memory: every request returns null.
    pub const fn empty() -> Self {
        Self::with_lock(SpinLock::new())
    }
}

#[cfg(target_has_atomic = "8")]
impl Default for FfAllocIn {
    fn default() -> Self {
        Self::empty()
    }
}

impl<L: Lock> FfAllocIn<L> {
    /// An allocator without memory, whose callers this lock keeps apart.
    pub const fn with_lock(lock: L) -> Self {
        FfAllocIn { pool: UnsafeCell::new(ptr::null_mut()), lock }
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
        stats_of(self)
    }

    /// Whether every invariant of the pool holds. Walks it.
    pub fn is_sound(&self) -> bool {
        is_sound(self)
    }
}

impl<L: Lock> Pooled for FfAllocIn<L> {
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
}

global_alloc!(<L: Lock> GlobalAlloc for FfAllocIn<L>);

#[repr(C, align(16))]
struct Memory<const SIZE: usize>(UnsafeCell<MaybeUninit<[u8; SIZE]>>);

/// An allocator with `SIZE` bytes of its own, metadata included.
///
/// ```
/// use ffalloc::FfAlloc;
///
/// static HEAP: FfAlloc<1024> = FfAlloc::new();
/// ```
///
/// Its pool is made at the first call, and anew if it has been moved: then it is empty, and blocks from
/// before are none of its. Let it be a `static`.
pub struct FfAlloc<const SIZE: usize, L = DefaultLock> {
    heap: FfAllocIn<L>,
    memory: Memory<SIZE>,
}

// SAFETY: the memory is touched only through the pool, and that only while the lock is held.
unsafe impl<const SIZE: usize, L: Lock + Sync> Sync for FfAlloc<SIZE, L> {}

#[cfg(target_has_atomic = "8")]
impl<const SIZE: usize> FfAlloc<SIZE> {
    /// An allocator for threads.
    pub const fn new() -> Self {
        Self::with_lock(SpinLock::new())
    }
}

#[cfg(target_has_atomic = "8")]
impl<const SIZE: usize> Default for FfAlloc<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SIZE: usize, L: Lock> FfAlloc<SIZE, L> {
    /// An allocator whose callers this lock keeps apart.
    pub const fn with_lock(lock: L) -> Self {
        FfAlloc {
            heap: FfAllocIn::with_lock(lock),
            memory: Memory(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    /// As [`FfAllocIn::stats`].
    pub fn stats(&self) -> Stats {
        stats_of(self)
    }

    /// As [`FfAllocIn::is_sound`].
    pub fn is_sound(&self) -> bool {
        is_sound(self)
    }
}

impl<const SIZE: usize, L: Lock> Pooled for FfAlloc<SIZE, L> {
    fn with(&self, function: impl FnOnce(*mut Pool) -> *mut c_void) -> *mut u8 {
        let memory: *mut c_void = self.memory.0.get().cast();
        self.heap.lock.locked(|| {
            // SAFETY: the lock is held, and the memory is the allocator's own. A pool of that alignment
            // begins where its memory does.
            let pool = unsafe {
                let pool = self.heap.pool.get();
                if (*pool).cast() != memory {
                    *pool = ffalloc_init(memory, SIZE);
                }
                *pool
            };
            if pool.is_null() {
                ptr::null_mut()
            } else {
                function(pool).cast()
            }
        })
    }
}

global_alloc!(<const SIZE: usize, L: Lock> GlobalAlloc for FfAlloc<SIZE, L>);
