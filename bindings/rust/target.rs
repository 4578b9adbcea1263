// SPDX-License-Identifier: MIT
//! What the C compiler of a target is called, and what it must be told. Of build.rs, and its test.

/// What the names of the target's tools begin with, if it is not this machine.
pub fn prefix(target: &str) -> String {
    let arch = arch_of(target);
    if let Some((_, gnu)) = target.split_once("-linux-") {
        let family = if arch.starts_with("riscv64") {
            "riscv64"
        } else if arch.starts_with("arm") || arch.starts_with("thumb") {
            "arm"
        } else if arch == "i686" {
            return String::new(); // this machine's, with -m32
        } else {
            arch
        };
        return format!("{}-linux-{}-", family, gnu);
    }
    match arch {
        _ if arch.starts_with("thumb") || arch.starts_with("arm") => "arm-none-eabi-".into(),
        _ if arch.starts_with("riscv") => "riscv64-unknown-elf-".into(),
        "aarch64" => "aarch64-none-elf-".into(),
        _ => String::new(),
    }
}

/// The machine that a compiler of more than one is to compile for.
pub fn flags(target: &str) -> Vec<String> {
    let arch = arch_of(target);
    let is_hard = target.ends_with("hf");
    let words: &[&str] = match arch {
        "thumbv6m" => &["-mthumb", "-mcpu=cortex-m0plus"],
        "thumbv7m" => &["-mthumb", "-mcpu=cortex-m3"],
        "thumbv7em" if is_hard => {
            &["-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
        }
        "thumbv7em" => &["-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=soft"],
        "thumbv8m.base" => &["-mthumb", "-mcpu=cortex-m23"],
        "thumbv8m.main" if is_hard => {
            &["-mthumb", "-mcpu=cortex-m33", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"]
        }
        "thumbv8m.main" => &["-mthumb", "-mcpu=cortex-m33", "-mfloat-abi=soft"],
        "i686" => &["-m32"],
        _ => &[],
    };
    let mut flags: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    if let Some(isa) = arch.strip_prefix("riscv") {
        flags.extend(riscv_flags(isa));
    }
    if target.contains("-none") && arch.starts_with("riscv64") {
        flags.push("-mcmodel=medany".into());
    }
    flags
}

/// Whether the program is linked where it runs: no operating system loads it.
pub fn is_bare(target: &str) -> bool {
    target.contains("-none")
}

/// What a profile's opt-level is to a C compiler.
pub fn optimisation(level: &str) -> String {
    format!("-O{}", if level == "z" { "s" } else { level })
}

fn arch_of(target: &str) -> &str {
    target.split('-').next().unwrap_or("")
}

/// Of the letters after "riscv", as 32imac or 64gc.
fn riscv_flags(isa: &str) -> Vec<String> {
    let (bits, letters) = isa.split_at(2.min(isa.len()));
    let integers = if bits == "64" { "lp64" } else { "ilp32" };
    let floats = if letters.contains(['g', 'd']) {
        "d"
    } else if letters.contains('f') {
        "f"
    } else if letters.starts_with('e') {
        "e"
    } else {
        ""
    };
    vec![format!("-march=rv{}", isa), format!("-mabi={}{}", integers, floats)]
}
