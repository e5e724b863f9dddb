//! Names of functions, for reports of traps.

use wasmparser::{KnownCustom, Name, Parser, Payload};

/// Longest name that [`function_name`] gives, in bytes; a longer one is cut. C++ names can be kilobytes.
pub const FUNCTION_NAME_BYTES_MAX: usize = 160;

/// The name of the function with that index, imports included, in the module's name section: what a compiler called
/// it, mangled or not. Image preparation leaves the section out and keeps the indices, so the module to ask is the one
/// that was prepared. `None` without such a section or name, and for bytes that are no module.
#[must_use]
pub fn function_name(module: &[u8], index: u32) -> Option<String> {
    for payload in Parser::new(0).parse_all(module) {
        let Ok(Payload::CustomSection(section)) = payload else {
            payload.ok()?;
            continue;
        };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        for subsection in names {
            let Name::Function(functions) = subsection.ok()? else { continue };
            let found = functions.into_iter().map_while(Result::ok).find(|naming| naming.index == index);
            if let Some(naming) = found {
                let cut = naming.name.floor_char_boundary(FUNCTION_NAME_BYTES_MAX);
                return naming.name.get(..cut).map(str::to_owned);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_the_name_of_the_name_section() {
        let long = "ä".repeat(FUNCTION_NAME_BYTES_MAX);
        let text = format!(r#"(module (import "m" "f" (func $out)) (func $first) (func $"a{long}"))"#);
        let module = wat::parse_str(text).unwrap();
        assert_eq!(function_name(&module, 0).as_deref(), Some("out"));
        assert_eq!(function_name(&module, 1).as_deref(), Some("first"));
        let cut = function_name(&module, 2).unwrap();
        assert!(cut.starts_with("aä") && cut.len() == FUNCTION_NAME_BYTES_MAX - 1);
        assert_eq!(function_name(&module, 3), None);
        for n in 0..module.len() {
            // Cut anywhere it is no module, and no panic.
            let _ = function_name(&module[..n], 2);
        }
        assert_eq!(function_name(b"", 0), None);
    }
}
