//! Builds librpmsg_lite.a of Coracle's own stack: for C firmware that has NXP's now, and for the conformance suite, which
//! links it through the bindings for that library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use coracle_test_scenario::Workspace;

use crate::{cargo, runs};

const PACKAGE: &str = "coracle-rpmsg-lite-abi";
const LIBRARY: &str = "librpmsg_lite.a";
const CONFIG: &str = "rpmsg_config.h";
/// The package's folder with the headers.
const HEADERS: &str = "shared-ipc/rpmsg-lite-abi/include";
/// Optimised for size, and without unwinding, which has no place in C.
const PROFILE: &str = "firmware";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rust target of the C program, thumbv7em-none-eabihf for example; this machine's if there is none.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Ask platform_get_custom_shmem_config for counts and sizes instead of NXP's for Linux.
    #[arg(long)]
    custom_shmem: bool,
}

/// Builds the library and prints its folder.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    println!("{}", build(&Workspace::find()?, options)?.display());
    Ok(ExitCode::SUCCESS)
}

/// The conformance suite over each form of the library, to be run in a workspace that has nothing else to build.
pub(crate) fn tests(workspace: &Workspace) -> Result<Vec<(&'static str, Command)>> {
    let forms = [("conformance over librpmsg_lite.a", false), ("conformance over librpmsg_lite.a, custom shmem", true)];
    forms
        .into_iter()
        .map(|(what, custom_shmem)| {
            let folder = build(workspace, &Options { target: None, custom_shmem })?;
            Ok((what, test(workspace, &folder)))
        })
        .collect()
}

/// Builds the library into a folder of its own, with the headers that go with it.
fn build(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    let form = if options.custom_shmem { "custom-shmem" } else { "fixed" };
    let features = if options.custom_shmem { "panic-handler,custom-shmem" } else { "panic-handler" };
    let mut command = cargo();
    command.args(["rustc", "--quiet", "--package", PACKAGE, "--lib", "--crate-type", "staticlib"]);
    command.args(["--profile", PROFILE, "--features", features]);
    let (mut built, mut folder) = (workspace.target_directory.clone(), workspace.target_directory.join("rpmsg-lite"));
    if let Some(target) = &options.target {
        command.args(["--target", target]);
        built.push(target);
        folder.push(target);
    }
    folder.push(form);
    let status = command.current_dir(&workspace.root).stdin(Stdio::null()).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{LIBRARY} was not built; see above");
    }

    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let headers = workspace.root.join(HEADERS);
    let config = if options.custom_shmem { headers.join("custom-shmem").join(CONFIG) } else { headers.join(CONFIG) };
    let copy = |from: PathBuf, name: &str| {
        fs::copy(&from, folder.join(name))
            .map(drop)
            .with_context(|| format!("cannot copy {} to {}", from.display(), folder.display()))
    };
    copy(built.join(PROFILE).join(LIBRARY), LIBRARY)?;
    copy(config, CONFIG)?;
    for name in ["rpmsg_env.h", "rpmsg_lite.h", "rpmsg_ns.h", "rpmsg_queue.h"] {
        copy(headers.join(name), name)?;
    }
    Ok(folder)
}

/// The bindings' tests and the conformance suite, over the library in a folder.
fn test(workspace: &Workspace, folder: &Path) -> Command {
    let mut command = cargo();
    if runs(cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--no-fail-fast", "--tests"]);
    }
    command.args(["--package", "coracle-rpmsg-lite", "--features", "coracle-rpmsg-lite/user-space"]);
    command.args([
        "--package",
        "coracle-test-conformance",
        "--features",
        "coracle-test-conformance/rpmsg-lite-is-ours",
    ]);
    command.env("RPMSG_LITE_LIB_DIR", folder).env_remove("RPMSG_LITE_CONFIG");
    command.current_dir(&workspace.root);
    command
}
