//! What the archive must look like for a configuration.

use std::collections::BTreeSet;
use std::fmt;

use super::config::Config;

/// The symbols of an archive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Symbols {
    /// Those that it has for others.
    pub(crate) defined: BTreeSet<String>,
    /// Those that it wants from others.
    pub(crate) undefined: BTreeSet<String>,
}

impl Symbols {
    fn mentions(&self, name: &str) -> bool {
        self.defined.contains(name) || self.undefined.contains(name)
    }
}

/// How an archive does not fit its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// A function of the interface is not there.
    Missing { symbol: &'static str },
    /// A macro has another value in the archive.
    Macro { name: &'static str, says: u8, symbol: &'static str, has_symbol: bool },
    /// The archive has a platform layer already, as has the feature `user-space`.
    PlatformTwice { symbol: &'static str },
    /// The environment layer is not in the archive.
    Environment { symbol: &'static str },
    /// The feature `user-space` is not made for the configuration.
    UserSpace { name: &'static str, says: u8 },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { symbol } => {
                write!(f, "it does not define `{symbol}`; is it RPMsg-Lite version 5 for this target?")
            }
            Self::Macro { name, says, symbol, has_symbol } => {
                let (does, other) = (if *has_symbol { "has" } else { "has no" }, 1 - says);
                write!(
                    f,
                    "the configuration says {name} {says}, but the library {does} `{symbol}`, so it was built with {name} \
                     {other}; use the rpmsg_config.h that it was built with"
                )
            }
            Self::PlatformTwice { symbol } => write!(
                f,
                "it defines `{symbol}`, which the feature `user-space` does, too; leave the platform layer out of the \
                 library or build without the feature"
            ),
            Self::Environment { symbol } => {
                write!(f, "it does not define `{symbol}`; put an environment layer (rpmsg_env_*.c) into it")
            }
            Self::UserSpace { name, says } => write!(
                f,
                "the configuration says {name} {says}, which the feature `user-space` is not made for; build the library \
                 with {name} {} or these bindings with the feature `link` alone",
                1 - says
            ),
        }
    }
}

/// The functions that there always are.
const ALWAYS: [&str; 11] = [
    "rpmsg_lite_create_ept",
    "rpmsg_lite_deinit",
    "rpmsg_lite_destroy_ept",
    "rpmsg_lite_is_link_up",
    "rpmsg_lite_master_init",
    "rpmsg_lite_remote_init",
    "rpmsg_lite_send",
    "rpmsg_lite_wait_for_link_up",
    "rpmsg_ns_announce",
    "rpmsg_ns_bind",
    "rpmsg_ns_unbind",
];
/// The functions that come with zero copy, after the one that tells.
const WITH_ZERO_COPY: [&str; 9] = [
    "rpmsg_lite_release_rx_buffer",
    "rpmsg_lite_send_nocopy",
    "rpmsg_queue_create",
    "rpmsg_queue_destroy",
    "rpmsg_queue_get_current_size",
    "rpmsg_queue_nocopy_free",
    "rpmsg_queue_recv",
    "rpmsg_queue_recv_nocopy",
    "rpmsg_queue_rx_cb",
];
/// What the feature `user-space` defines.
const PLATFORM: [&str; 3] = ["platform_init", "platform_init_interrupt", "platform_notify"];
/// What it needs of the environment layer.
const ENVIRONMENT: [&str; 3] = ["env_isr", "env_register_isr", "env_unregister_isr"];

/// Compares an archive with its configuration.
pub(crate) fn check(config: &Config, symbols: &Symbols, user_space: bool) -> Result<(), Mismatch> {
    if let Some(symbol) = ALWAYS.into_iter().find(|name| !symbols.defined.contains(*name)) {
        return Err(Mismatch::Missing { symbol });
    }
    // Each of these macros shows in one symbol, defined or used.
    let shown = [
        ("RL_API_HAS_ZEROCOPY", config.zero_copy, "rpmsg_lite_alloc_tx_buffer"),
        ("RL_USE_STATIC_API", config.static_api, "virtqueue_create_static"),
        ("RL_USE_ENVIRONMENT_CONTEXT", config.environment_context, "env_init_interrupt"),
        ("RL_ALLOW_CUSTOM_SHMEM_CONFIG", config.custom_shmem, "platform_get_custom_shmem_config"),
        ("RL_USE_DCACHE", config.data_cache, "platform_cache_flush"),
    ];
    for (name, on, symbol) in shown {
        let has_symbol = symbols.mentions(symbol);
        // A platform layer in the archive may have its functions whether they are called or not.
        let spoken_for = symbol.starts_with("platform_") && symbols.defined.contains(symbol);
        if has_symbol != on && !spoken_for {
            return Err(Mismatch::Macro { name, says: u8::from(on), symbol, has_symbol });
        }
    }
    if config.zero_copy
        && let Some(symbol) = WITH_ZERO_COPY.into_iter().find(|name| !symbols.defined.contains(*name))
    {
        return Err(Mismatch::Missing { symbol });
    }
    if user_space {
        if let Some(symbol) = PLATFORM.into_iter().find(|name| symbols.defined.contains(*name)) {
            return Err(Mismatch::PlatformTwice { symbol });
        }
        // Its platform layer takes no context, and serves only the safe instance, which needs the others as they are.
        let needs = [
            ("RL_API_HAS_ZEROCOPY", config.zero_copy, true),
            ("RL_USE_STATIC_API", config.static_api, false),
            ("RL_USE_ENVIRONMENT_CONTEXT", config.environment_context, false),
        ];
        if let Some((name, on, _)) = needs.into_iter().find(|(_, on, need)| on != need) {
            return Err(Mismatch::UserSpace { name, says: u8::from(on) });
        }
        if let Some(symbol) = ENVIRONMENT.into_iter().find(|name| !symbols.defined.contains(*name)) {
            return Err(Mismatch::Environment { symbol });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with everything of the default configuration and a bare-metal environment layer.
    fn library() -> Symbols {
        let names = ALWAYS.into_iter().chain(WITH_ZERO_COPY).chain(ENVIRONMENT).chain(["rpmsg_lite_alloc_tx_buffer"]);
        Symbols {
            defined: names.map(str::to_owned).collect(),
            undefined: PLATFORM.map(str::to_owned).into_iter().collect(),
        }
    }

    fn refusal(config: &Config, symbols: &Symbols, user_space: bool) -> String {
        check(config, symbols, user_space).expect_err("it does not fit").to_string()
    }

    #[test]
    fn a_fitting_library_is_accepted() {
        assert_eq!(check(&Config::default(), &library(), true), Ok(()));
        let mut with_platform = library();
        with_platform.defined.extend(PLATFORM.map(str::to_owned));
        with_platform.defined.insert("platform_cache_flush".to_owned());
        assert_eq!(check(&Config::default(), &with_platform, false), Ok(()));
    }

    #[test]
    fn each_missing_function_is_named() {
        for name in ALWAYS.into_iter().chain(WITH_ZERO_COPY) {
            let mut symbols = library();
            symbols.defined.remove(name);
            assert!(refusal(&Config::default(), &symbols, true).contains(&format!("does not define `{name}`")));
        }
    }

    /// Each macro both ways: the archive has what the configuration denies, and the other way round.
    #[test]
    fn each_macro_that_differs_is_named() {
        type Set = fn(&mut Config, bool);
        let cases: [(&str, Set, &str); 5] = [
            ("RL_API_HAS_ZEROCOPY", |c, on| c.zero_copy = on, "rpmsg_lite_alloc_tx_buffer"),
            ("RL_USE_STATIC_API", |c, on| c.static_api = on, "virtqueue_create_static"),
            ("RL_USE_ENVIRONMENT_CONTEXT", |c, on| c.environment_context = on, "env_init_interrupt"),
            ("RL_ALLOW_CUSTOM_SHMEM_CONFIG", |c, on| c.custom_shmem = on, "platform_get_custom_shmem_config"),
            ("RL_USE_DCACHE", |c, on| c.data_cache = on, "platform_cache_flush"),
        ];
        for (name, set, symbol) in cases {
            for (says, has) in [(true, false), (false, true)] {
                let (mut config, mut symbols) = (Config::default(), library());
                set(&mut config, says);
                symbols.defined.remove(symbol);
                if has {
                    symbols.undefined.insert(symbol.to_owned());
                }
                let error = refusal(&config, &symbols, false);
                assert!(error.contains(&format!("says {name} {}", u8::from(says))), "{error}");
                assert!(error.contains(symbol), "{error}");
            }
        }
    }

    #[test]
    fn two_platform_layers_and_no_environment_layer_are_refused() {
        let mut symbols = library();
        symbols.defined.insert("platform_notify".to_owned());
        assert!(refusal(&Config::default(), &symbols, true).contains("`platform_notify`"));
        let mut symbols = library();
        symbols.defined.remove("env_isr");
        assert!(refusal(&Config::default(), &symbols, true).contains("`env_isr`"));
        assert_eq!(check(&Config::default(), &symbols, false), Ok(()), "the SDK brings it");
    }

    #[test]
    fn the_safe_instance_is_refused_what_it_is_not_made_for() {
        type Set = fn(&mut Config, &mut Symbols);
        let cases: [(&str, Set); 3] = [
            ("says RL_USE_ENVIRONMENT_CONTEXT 1", |config, symbols| {
                config.environment_context = true;
                symbols.undefined.insert("env_init_interrupt".to_owned());
            }),
            ("says RL_USE_STATIC_API 1", |config, symbols| {
                config.static_api = true;
                symbols.defined.insert("virtqueue_create_static".to_owned());
            }),
            ("says RL_API_HAS_ZEROCOPY 0", |config, symbols| {
                config.zero_copy = false;
                symbols.defined.remove("rpmsg_lite_alloc_tx_buffer");
            }),
        ];
        for (want, set) in cases {
            let (mut config, mut symbols) = (Config::default(), library());
            set(&mut config, &mut symbols);
            assert!(refusal(&config, &symbols, true).contains(want), "{want}");
            assert_eq!(check(&config, &symbols, false), Ok(()), "the declarations follow");
        }
    }
}
