//! With the feature `link`: reads the user's configuration, compares the library with it, and has it linked.

#[cfg(feature = "link")]
mod config;
#[cfg(feature = "link")]
mod link;
#[cfg(feature = "link")]
mod symbols;

fn main() {
    println!("cargo::rerun-if-changed=build");
    for name in ["rl_custom_shmem", "rl_environment_context", "rl_static_api", "rl_zero_copy"] {
        println!("cargo::rustc-check-cfg=cfg({name})");
    }
    #[cfg(feature = "link")]
    if let Err(error) = link::run() {
        println!("cargo::error={error}");
    }
}
