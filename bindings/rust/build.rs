// SPDX-License-Identifier: MIT
//! Compiles the core with the C compiler: CC_<target>, CC, or the usual name for the target.

mod target;

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

/// A tool of the target's: what a variable names, else the usual one.
fn tool(kind: &str, target: &str, host: &str, usual: &str, gnu: &str) -> String {
    let own = format!("{}_{}", kind, target.replace(['-', '.'], "_"));
    if let Some(named) = variable(&own).or_else(|| variable(kind)) {
        return named;
    }
    let prefix = if target == host { String::new() } else { target::prefix(target) };
    if prefix.is_empty() {
        usual.to_string()
    } else {
        prefix + gnu
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
    let mut flags = target::flags(&target);
    flags.push(target::optimisation(&env::var("OPT_LEVEL").expect("cargo sets it")));
    if env::var("DEBUG").map_or(false, |debug| debug != "false") {
        flags.push("-g".to_string());
    }
    if !target::is_bare(&target) {
        flags.push("-fPIC".to_string());
    }
    if variable("CARGO_FEATURE_SMALL").is_some() {
        flags.push("-DFFALLOC_SMALL=1".to_string());
    }
    for name in SOURCES {
        let source = root.join("core").join(format!("{}.c", name));
        let object = out.join(format!("{}.o", name));
        run(Command::new(&compiler)
            .args(["-std=c11", "-ffreestanding", "-ffunction-sections"])
            .args(&flags)
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
