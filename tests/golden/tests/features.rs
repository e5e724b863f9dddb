//! Both M cores, the firmware and the host board's process, interpret and encode with the same features of the same
//! crates: otherwise what the host board shows would say nothing about the firmware.

use std::collections::BTreeSet;
use std::process::Command;

/// The crates whose features change what a guest or a message looks like.
const CRATES: [&str; 9] =
    ["wasmi", "wasmi_core", "wasmi_ir", "wasmi_collections", "wasmparser", "spin", "postcard", "heapless", "sha2"];

/// `name version features` of those crates in the build of `package` for `target`.
fn features(package: &str, target: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--quiet", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"])
        .args(["--package", package, "--target", target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.trim_end_matches("(*)").trim().to_owned())
        .filter(|line| line.split(' ').next().is_some_and(|name| CRATES.contains(&name)))
        .collect()
}

#[test]
fn host_board_and_firmware_get_the_same_features() {
    let host = features("coracle-m-host", "x86_64-unknown-linux-gnu");
    assert_eq!(host.len(), CRATES.len(), "a crate is missing or built in two versions: {host:#?}");
    for board in ["qemu-an386", "qemu-an500"] {
        let firmware = features(&format!("coracle-firmware-{board}"), "thumbv7em-none-eabihf");
        assert_eq!(host, firmware, "{board}");
    }
}
