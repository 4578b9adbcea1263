// SPDX-License-Identifier: MIT
//! A program without `unsafe` has no memory error, whatever it does with the allocator.
#![forbid(unsafe_code)]

use ffalloc::FfAlloc;

#[global_allocator]
static HEAP: FfAlloc<{ 4 * 1024 * 1024 }> = FfAlloc::new();

#[test]
fn four_threads_share_it() {
    let threads: Vec<_> = (0..4u8)
        .map(|mark| {
            std::thread::spawn(move || {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                for i in 0..50_000usize {
                    let size = (i * 7 + usize::from(mark)) % 300;
                    kept.push(vec![mark; size]);
                    if kept.len() > 40 {
                        let old = kept.swap_remove(i % 40);
                        assert!(old.iter().all(|&byte| byte == mark));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(HEAP.is_sound());
}

#[test]
fn a_move_leaves_an_empty_pool_at_the_new_place() {
    let mut places = vec![FfAlloc::<4096>::new()];
    let usable = places[0].stats().usable_size;
    let boxed = Box::new(places.pop().unwrap());
    drop(places);
    let noise = vec![vec![0xa5u8; std::mem::size_of_val(&*boxed)]; 100]; // also where it lay
    assert!(noise.iter().flatten().all(|&byte| byte == 0xa5));
    assert_eq!(boxed.stats().free_size, usable);
    assert!(boxed.is_sound());
}
