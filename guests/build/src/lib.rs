//! Link settings of a guest module, for its build script. Says nothing about how the guest is compiled: that is the
//! profile `guest` of the workspace.
//!
//! A build script calls [`link`] and does nothing else:
//!
//! ```no_run
//! use coracle_guest_build::{Memory, link};
//!
//! link(&Memory { stack_bytes: 2048, max_bytes: None });
//! ```
#![forbid(unsafe_code)]

/// How large the linear memory of a guest may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Stack for what does not fit Wasm locals. It lies below all data and grows down to address 0, so a guest that
    /// needs more traps instead of overwriting its data.
    pub stack_bytes: u32,
    /// Largest size in bytes, or `None` for the initial one: the guest never grows. Most should not: what a container
    /// cannot ask for cannot be refused to it.
    pub max_bytes: Option<u32>,
}

/// Tells Cargo the linker's arguments when it builds for `wasm32`; does nothing for other targets.
///
/// The page size is one byte, so that the memory is as large as what the linker lays out, not the next 64 KiB.
pub fn link(memory: &Memory) {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        for arg in arguments(memory) {
            println!("cargo::rustc-link-arg-cdylib={arg}");
        }
    }
}

fn arguments(memory: &Memory) -> [String; 4] {
    [
        "--page-size=1".into(),
        "--stack-first".into(),
        format!("-zstack-size={}", memory.stack_bytes),
        memory.max_bytes.map_or_else(|| "--no-growable-memory".into(), |max| format!("--max-memory={max}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_does_not_grow_unless_told() {
        let fixed = arguments(&Memory { stack_bytes: 512, max_bytes: None });
        assert_eq!(fixed, ["--page-size=1", "--stack-first", "-zstack-size=512", "--no-growable-memory"]);
        let growing = arguments(&Memory { stack_bytes: 512, max_bytes: Some(65_536) });
        assert_eq!(growing[3], "--max-memory=65536");
    }
}
