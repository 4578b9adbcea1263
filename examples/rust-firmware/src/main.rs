// SPDX-License-Identifier: MIT
//! A firmware whose heap is exact first fit in a static array of 32 KiB: it keeps a few records, and says
//! what its heap needed. For QEMU's mps2-an385, a Cortex-M3.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use core::panic::PanicInfo;
use ffalloc::{FfAlloc, Lock};

/// Interrupt handlers allocate, too: calls are kept apart by masking interrupts.
struct Interrupts;

// SAFETY: there is one core, and nothing interrupts it while PRIMASK is set.
unsafe impl Lock for Interrupts {
    fn locked<R>(&self, function: impl FnOnce() -> R) -> R {
        let before: u32;
        // SAFETY: PRIMASK is set, and put back below.
        unsafe { core::arch::asm!("mrs {}, PRIMASK", "cpsid i", out(reg) before) };
        let result = function();
        // SAFETY: as above.
        unsafe { core::arch::asm!("msr PRIMASK, {}", in(reg) before) };
        result
    }
}

#[global_allocator]
static HEAP: FfAlloc<{ 32 * 1024 }, Interrupts> = FfAlloc::with_lock(Interrupts);

/// Asks the debugger, or QEMU, for a service.
fn semihosting(operation: u32, argument: *const u8) {
    // SAFETY: the operations used read memory, or end the program.
    unsafe { core::arch::asm!("bkpt 0xab", inout("r0") operation => _, in("r1") argument) };
}

fn print(text: &str) {
    let ended = format!("{}\n\0", text);
    semihosting(4, ended.as_ptr()); // SYS_WRITE0
}

fn exit(is_well: bool) -> ! {
    let reason: u32 = if is_well { 0x20026 } else { 0x20023 };
    semihosting(0x18, reason as *const u8); // SYS_EXIT
    loop {}
}

#[panic_handler]
fn panic(_info: &PanicInfo) -> ! {
    semihosting(4, "panic\n\0".as_ptr());
    exit(false)
}

#[no_mangle]
extern "C" fn reset() -> ! {
    let mut records: Vec<String> = Vec::new();
    for number in 0..40 {
        records.push(format!("record {}", number));
        if number % 3 == 0 {
            records.remove(records.len() / 2);
        }
    }
    let stats = HEAP.stats();
    print(&format!("blocks {}\nhigh water {}", stats.block_count, stats.high_water_size));
    exit(HEAP.is_sound() && records.len() == stats.block_count - 1)
}

extern "C" fn stop() {
    loop {}
}

/// What follows the first word of flash, where the stack begins: link.ld has that.
#[link_section = ".vectors"]
#[used]
static VECTORS: (extern "C" fn() -> !, [extern "C" fn(); 14]) = (reset, [stop; 14]);
