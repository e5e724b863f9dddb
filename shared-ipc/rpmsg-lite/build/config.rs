//! The user's `rpmsg_config.h`: the macros that change what the library looks like from outside.

use std::collections::BTreeMap;
use std::fmt;

/// The macros that matter here, with the values in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `RL_BUFFER_PAYLOAD_SIZE`, in bytes.
    pub(crate) buffer_payload_size: u32,
    /// `RL_BUFFER_COUNT`, in each direction.
    pub(crate) buffer_count: u32,
    /// `VRING_SIZE` in bytes. The platform layer's header, unless the configuration comes before it.
    pub(crate) vring_size: u32,
    /// `VRING_ALIGN` in bytes. As `vring_size`.
    pub(crate) vring_align: u32,
    /// `RL_API_HAS_ZEROCOPY`
    pub(crate) zero_copy: bool,
    /// `RL_USE_STATIC_API`
    pub(crate) static_api: bool,
    /// `RL_USE_ENVIRONMENT_CONTEXT`
    pub(crate) environment_context: bool,
    /// `RL_ALLOW_CUSTOM_SHMEM_CONFIG`
    pub(crate) custom_shmem: bool,
    /// `RL_USE_DCACHE`
    pub(crate) data_cache: bool,
}

impl Default for Config {
    /// What `rpmsg_default_config.h` and the platform headers of the i.MX8M family say.
    fn default() -> Self {
        Self {
            buffer_payload_size: 496,
            buffer_count: 2,
            vring_size: 0x8000,
            vring_align: 0x1000,
            zero_copy: true,
            static_api: false,
            environment_context: false,
            custom_shmem: false,
            data_cache: false,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigError {
    /// A value that is not a number.
    Value { name: String, value: String },
    /// A switch that is not 0 or 1.
    Switch { name: &'static str, value: u32 },
    /// Two definitions that differ.
    Twice { name: String },
    /// A definition whose condition is not known here.
    Condition { name: String, condition: String },
    /// A count or size that the library refuses, too.
    Size { name: &'static str, value: u32, rule: &'static str },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { name, value } => write!(f, "{name} is `{value}`, which is not a number; write the number"),
            Self::Switch { name, value } => write!(f, "{name} is {value}; it must be 0 or 1"),
            Self::Twice { name } => write!(f, "{name} is defined twice with different values; leave one"),
            Self::Condition { name, condition } => write!(
                f,
                "{name} is defined under `{condition}`, which cannot be evaluated here; point RPMSG_LITE_CONFIG at a file \
                 with the values that the library was built with"
            ),
            Self::Size { name, value, rule } => write!(f, "{name} is {value}; it must be {rule}"),
        }
    }
}

/// The macros that [`Config`] is made of.
const NAMES: [&str; 9] = [
    "RL_ALLOW_CUSTOM_SHMEM_CONFIG",
    "RL_API_HAS_ZEROCOPY",
    "RL_BUFFER_COUNT",
    "RL_BUFFER_PAYLOAD_SIZE",
    "RL_USE_DCACHE",
    "RL_USE_ENVIRONMENT_CONTEXT",
    "RL_USE_STATIC_API",
    "VRING_ALIGN",
    "VRING_SIZE",
];

impl Config {
    /// Reads `rpmsg_config.h`.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let values = definitions(text)?;
        let default = Self::default();
        let number = |name: &'static str, default: u32| values.get(name).copied().unwrap_or(default);
        let switch = |name: &'static str, default: bool| match number(name, u32::from(default)) {
            value @ (0 | 1) => Ok(value == 1),
            value => Err(ConfigError::Switch { name, value }),
        };
        let config = Self {
            buffer_payload_size: number("RL_BUFFER_PAYLOAD_SIZE", default.buffer_payload_size),
            buffer_count: number("RL_BUFFER_COUNT", default.buffer_count),
            vring_size: number("VRING_SIZE", default.vring_size),
            vring_align: number("VRING_ALIGN", default.vring_align),
            zero_copy: switch("RL_API_HAS_ZEROCOPY", default.zero_copy)?,
            static_api: switch("RL_USE_STATIC_API", default.static_api)?,
            environment_context: switch("RL_USE_ENVIRONMENT_CONTEXT", default.environment_context)?,
            custom_shmem: switch("RL_ALLOW_CUSTOM_SHMEM_CONFIG", default.custom_shmem)?,
            data_cache: switch("RL_USE_DCACHE", default.data_cache)?,
        };
        let size = |name, value, ok, rule| if ok { Ok(()) } else { Err(ConfigError::Size { name, value, rule }) };
        let (count, payload) = (config.buffer_count, config.buffer_payload_size);
        size("RL_BUFFER_COUNT", count, count.is_power_of_two() && count <= 32768, "a power of two up to 32768")?;
        let whole = payload.checked_add(16).is_some_and(u32::is_power_of_two);
        size(
            "RL_BUFFER_PAYLOAD_SIZE",
            payload,
            whole && payload >= 16,
            "a power of two less 16 (240, 496, 1008, ...)",
        )?;
        let align = config.vring_align;
        size("VRING_ALIGN", align, align.is_power_of_two() && align <= 65536, "a power of two up to 65536")?;
        Ok(config)
    }
}

/// The definitions of the macros that matter.
fn definitions(text: &str) -> Result<BTreeMap<String, u32>, ConfigError> {
    let text = without_comments(&text.replace("\\\r\n", " ").replace("\\\n", " "));
    let directives: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('#').map(str::trim_start))
        .map(|line| line.split_once(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or((line, "")))
        .map(|(directive, rest)| (directive, rest.trim()))
        .collect();
    let mut values = BTreeMap::new();
    // What each open condition is; `None` for one that is known to hold.
    let mut conditions: Vec<Option<String>> = Vec::new();
    for (at, (directive, rest)) in directives.iter().enumerate() {
        match *directive {
            // An include guard, or a default for what may be defined already: holds unless it is defined here.
            "ifndef" if directives.get(at + 1).is_some_and(|next| next.0 == "define" && starts_with(next.1, rest)) => {
                conditions.push(values.contains_key(*rest).then(|| format!("#ifndef {rest}")));
            }
            "ifdef" if *rest == "__cplusplus" => conditions.push(Some(format!("#ifdef {rest}"))),
            "if" | "ifdef" | "ifndef" => conditions.push(Some(format!("#{directive} {rest}"))),
            "else" | "elif" => {
                if let Some(condition) = conditions.last_mut() {
                    *condition = Some(format!("#{directive} {rest}").trim_end().to_owned());
                }
            }
            "endif" => drop(conditions.pop()),
            "define" => {
                let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                if !NAMES.contains(&name) {
                    continue;
                }
                match conditions.iter().flatten().last() {
                    // The default for what is defined already: not in force.
                    Some(condition) if *condition == format!("#ifndef {name}") => continue,
                    Some(condition) => {
                        return Err(ConfigError::Condition { name: name.to_owned(), condition: condition.clone() });
                    }
                    None => {}
                }
                let number = number(value.trim())
                    .ok_or_else(|| ConfigError::Value { name: name.to_owned(), value: value.trim().to_owned() })?;
                if values.insert(name.to_owned(), number).is_some_and(|before| before != number) {
                    return Err(ConfigError::Twice { name: name.to_owned() });
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Whether a definition is of `name`.
fn starts_with(definition: &str, name: &str) -> bool {
    definition.split(|c: char| !c.is_alphanumeric() && c != '_').next() == Some(name)
}

/// An integer literal of C, in any number of parentheses.
fn number(mut text: &str) -> Option<u32> {
    while let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        text = inner.trim();
    }
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// `text` with a space for each comment.
fn without_comments(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    loop {
        let (line, block) = (rest.find("//"), rest.find("/*"));
        let (start, end) = match (line, block) {
            (None, None) => return plain + rest,
            (Some(at), other) if other.is_none_or(|b| at < b) => (at, rest[at..].find('\n').map(|n| at + n)),
            (_, Some(at)) => (at, rest[at + 2..].find("*/").map(|n| at + 2 + n + 2)),
            (Some(at), None) => (at, None),
        };
        plain.push_str(&rest[..start]);
        plain.push(' ');
        rest = end.map_or("", |end| &rest[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text)
    }

    #[test]
    fn an_empty_configuration_is_the_default_one() {
        assert_eq!(parse(""), Ok(Config::default()));
        assert_eq!(Config::default().buffer_count, 2);
    }

    #[test]
    fn values_are_read_as_c_reads_them() {
        let text = "
            #ifndef RPMSG_CONFIG_H_
            #define RPMSG_CONFIG_H_
            /* The number of buffers, it must be power of two.
             * #define RL_BUFFER_COUNT (4U) */
            #define RL_BUFFER_COUNT (256U) // as Linux: #define RL_BUFFER_COUNT 8
            # define  RL_BUFFER_PAYLOAD_SIZE\t( ( 0x1F0UL ) )
            #define RL_API_HAS_ZEROCOPY \\
                (1)
            #define VRING_ALIGN 020
            #define RL_ASSERT(x) do { } while (0)
            #ifndef RL_USE_DCACHE
            #define RL_USE_DCACHE (1)
            #endif
            #ifndef RL_BUFFER_COUNT
            #define RL_BUFFER_COUNT (2)
            #endif
            #endif
        ";
        let want = Config { buffer_count: 256, vring_align: 16, data_cache: true, ..Config::default() };
        assert_eq!(parse(text), Ok(want));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let cases = [
            ("#define RL_BUFFER_COUNT COUNT", "RL_BUFFER_COUNT is `COUNT`"),
            ("#define RL_BUFFER_COUNT", "RL_BUFFER_COUNT is ``"),
            ("#define RL_BUFFER_COUNT (2 * 4)", "RL_BUFFER_COUNT is `(2 * 4)`"),
            ("#define RL_BUFFER_COUNT 3", "RL_BUFFER_COUNT is 3; it must be a power of two"),
            ("#define RL_BUFFER_PAYLOAD_SIZE 512", "RL_BUFFER_PAYLOAD_SIZE is 512"),
            ("#define RL_BUFFER_PAYLOAD_SIZE 0xFFFFFFFF", "RL_BUFFER_PAYLOAD_SIZE is 4294967295"),
            ("#define VRING_ALIGN 24", "VRING_ALIGN is 24"),
            ("#define RL_USE_STATIC_API 2", "RL_USE_STATIC_API is 2; it must be 0 or 1"),
            ("#define RL_USE_STATIC_API 1\n#define RL_USE_STATIC_API 0", "RL_USE_STATIC_API is defined twice"),
            ("#if LINUX\n#define RL_BUFFER_COUNT 256\n#endif", "defined under `#if LINUX`"),
            ("#ifdef A\n#else\n#define RL_BUFFER_COUNT 256\n#endif", "defined under `#else`"),
            ("#if A\n#ifndef RL_USE_DCACHE\n#define RL_USE_DCACHE 1\n#endif\n#endif", "defined under `#if A`"),
        ];
        for (text, want) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }

    #[test]
    fn definitions_of_other_macros_may_be_conditional() {
        assert_eq!(parse("#if A\n#define OTHER x\n#endif\n#define RL_BUFFER_COUNT 4").unwrap().buffer_count, 4);
    }
}
