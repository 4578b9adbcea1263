// SPDX-License-Identifier: MIT
//! What build.rs tells the C compilers of other machines: by name, and by what those that are here make
//! of the core.

#[path = "../target.rs"]
mod target;

use std::process::Command;

/// Target, prefix of its tools, flags; the class and the machine that readelf finds, and the float ABI.
const TARGETS: [(&str, &str, &str, &str); 13] = [
    ("thumbv6m-none-eabi", "arm-none-eabi-", "-mthumb -mcpu=cortex-m0plus", "v6S-M"),
    ("thumbv7m-none-eabi", "arm-none-eabi-", "-mthumb -mcpu=cortex-m3", "v7"),
    ("thumbv7em-none-eabi", "arm-none-eabi-", "-mthumb -mcpu=cortex-m4 -mfloat-abi=soft", "v7E-M"),
    (
        "thumbv7em-none-eabihf",
        "arm-none-eabi-",
        "-mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        "VFP registers",
    ),
    ("thumbv8m.base-none-eabi", "arm-none-eabi-", "-mthumb -mcpu=cortex-m23", "v8-M.baseline"),
    (
        "thumbv8m.main-none-eabi",
        "arm-none-eabi-",
        "-mthumb -mcpu=cortex-m33 -mfloat-abi=soft",
        "v8-M.mainline",
    ),
    (
        "thumbv8m.main-none-eabihf",
        "arm-none-eabi-",
        "-mthumb -mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16",
        "VFP registers",
    ),
    ("riscv32i-unknown-none-elf", "riscv64-unknown-elf-", "-march=rv32i -mabi=ilp32", "rv32i2p"),
    ("riscv32imac-unknown-none-elf", "riscv64-unknown-elf-", "-march=rv32imac -mabi=ilp32", "RVC, soft"),
    ("riscv32imafc-unknown-none-elf", "riscv64-unknown-elf-", "-march=rv32imafc -mabi=ilp32f", "single-float"),
    (
        "riscv64imac-unknown-none-elf",
        "riscv64-unknown-elf-",
        "-march=rv64imac -mabi=lp64 -mcmodel=medany",
        "ELF64",
    ),
    ("riscv64gc-unknown-linux-gnu", "riscv64-linux-gnu-", "-march=rv64gc -mabi=lp64d", "double-float"),
    ("i686-unknown-linux-gnu", "", "-m32", "Intel 80386"),
];

#[test]
fn each_target_has_its_tools_and_flags() {
    for (name, prefix, flags, _) in TARGETS {
        assert_eq!(target::prefix(name), prefix, "{}", name);
        assert_eq!(target::flags(name).join(" "), flags, "{}", name);
    }
    assert_eq!(target::prefix("armv7-unknown-linux-gnueabihf"), "arm-linux-gnueabihf-");
    assert_eq!(target::prefix("aarch64-unknown-linux-gnu"), "aarch64-linux-gnu-");
    assert!(target::is_bare("thumbv6m-none-eabi") && !target::is_bare("x86_64-unknown-linux-gnu"));
    assert_eq!((target::optimisation("z"), target::optimisation("3")), ("-Os".into(), "-O3".into()));
}

#[test]
fn the_compilers_that_are_here_make_that_of_the_core() {
    let root = env!("CARGO_MANIFEST_DIR");
    let object = std::env::temp_dir().join(format!("ffalloc-target-{}.o", std::process::id()));
    for (name, prefix, _, expected) in TARGETS {
        let compiled = Command::new(format!("{}gcc", prefix))
            .args(["-std=c11", "-O1", "-ffreestanding", "-c", "-I"])
            .arg(format!("{}/include", root))
            .arg(format!("{}/core/malloc.c", root))
            .args(target::flags(name))
            .arg("-o")
            .arg(&object)
            .status();
        if compiled.is_err() {
            println!("{}: no {}gcc here", name, prefix);
            continue;
        }
        assert!(compiled.unwrap().success(), "{}", name);
        let output = Command::new("readelf").arg("-hA").arg(&object).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{}: no {} in {}", name, expected, text);
    }
    let _ = std::fs::remove_file(object);
}
