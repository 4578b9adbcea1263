// SPDX-License-Identifier: MIT
//! Compiles the core with the C compiler: CC_<target>, CC, or the usual name for the target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 13] = [
    "aligned", "blocks", "check", "check_index", "free", "grow", "index", "init", "large", "malloc",
    "pool", "small", "walk",
];

fn variable(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={}", name);
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A tool of the target's: what a variable names, else a guess from the target's name.
fn tool(kind: &str, target: &str, host: &str, usual: &str, gnu: &str) -> String {
    let own = format!("{}_{}", kind, target.replace('-', "_"));
    if let Some(named) = variable(&own).or_else(|| variable(kind)) {
        return named;
    }
    if target == host {
        usual.to_string()
    } else if target.starts_with("thumb") {
        format!("arm-none-eabi-{}", gnu)
    } else if target.starts_with("riscv") {
        format!("riscv64-unknown-elf-{}", gnu)
    } else {
        usual.to_string()
    }
}

/// What the compiler must be told of a target that is not its own.
fn target_flags(target: &str) -> &'static [&'static str] {
    match target.split('-').next().unwrap_or("") {
        "thumbv6m" => &["-mcpu=cortex-m0plus", "-mthumb"],
        "thumbv7m" => &["-mcpu=cortex-m3", "-mthumb"],
        "thumbv7em" if target.ends_with("hf") => {
            &["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
        }
        "thumbv7em" => &["-mcpu=cortex-m4", "-mthumb"],
        "thumbv8m.main" => &["-mcpu=cortex-m33", "-mthumb"],
        "riscv32imac" => &["-march=rv32imac", "-mabi=ilp32"],
        "riscv32imc" => &["-march=rv32imc", "-mabi=ilp32"],
        "i686" => &["-m32"],
        _ => &[],
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{:?} ended with {}", command, status),
        Err(error) => panic!("{:?} cannot be run: {}", command, error),
    }
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let target = env::var("TARGET").expect("cargo sets it");
    let host = env::var("HOST").expect("cargo sets it");
    let compiler = tool("CC", &target, &host, "cc", "gcc");
    let archiver = tool("AR", &target, &host, "ar", "ar");
    let library = out.join("libffalloc-core.a");
    let _ = std::fs::remove_file(&library);
    let mut archive = Command::new(&archiver);
    archive.arg("crs").arg(&library);
    let small: &[&str] = if variable("CARGO_FEATURE_SMALL").is_some() { &["-DFFALLOC_SMALL=1"] } else { &[] };
    for name in SOURCES {
        let source = root.join("core").join(format!("{}.c", name));
        let object = out.join(format!("{}.o", name));
        run(Command::new(&compiler)
            .args(["-std=c11", "-O2", "-g", "-ffreestanding", "-fPIC", "-ffunction-sections"])
            .args(target_flags(&target))
            .args(small)
            .arg("-I")
            .arg(root.join("include"))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object));
        archive.arg(&object);
    }
    run(&mut archive);
    for folder in ["core", "include"] {
        println!("cargo:rerun-if-changed={}", Path::new(&root).join(folder).display());
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=ffalloc-core");
}
