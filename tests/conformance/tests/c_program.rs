//! A C program that links our library, in `RPMSG_LITE_LIB_DIR`, with the headers beside it.
#![cfg(feature = "rpmsg-lite-is-ours")]

use std::path::Path;
use std::process::Command;

/// Compiles, links and runs `c/firmware.c`, which checks by itself.
#[test]
fn firmware_in_c_links_and_runs() {
    let library = std::env::var("RPMSG_LITE_LIB_DIR").expect("the variable that the bindings were built with");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("firmware");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled = Command::new(&compiler)
        .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("-I{library}"))
        .arg("-o")
        .arg(&program)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/c/firmware.c"))
        .arg(format!("{library}/librpmsg_lite.a"))
        .output()
        .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}; set CC to a C compiler"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&program).output().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert!(ran.status.success(), "{:?}\n{}", ran.status, String::from_utf8_lossy(&ran.stdout));
}
