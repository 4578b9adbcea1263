// SPDX-License-Identifier: MIT
//! The linker looks for link.ld in this folder.

fn main() {
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=link.ld");
}
