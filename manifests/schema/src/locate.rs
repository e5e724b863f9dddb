//! Where in the text something stands.

use toml::de::{DeTable, DeValue};

use crate::diagnostic::Span;
use crate::read::Value;

/// The deepest element on a path that exists.
pub(crate) struct Found {
    /// How many steps of the path exist.
    pub(crate) depth: usize,
    /// The value, or for a table with a header of its own, that header.
    pub(crate) span: Span,
}

/// The keys that name a table within a list.
const NAMING_KEYS: [&str; 5] = ["name", "label", "bus", "device", "guest"];

/// Follows `path` from the root; a step is a key, or for an element of a list its text, the name in its table, or else
/// its index. `None` if not even the first step exists.
pub(crate) fn nearest(root: &DeTable<'_>, path: &[&str]) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let (key, mut value) = root.get_key_value(*first)?;
    let mut span = visible(value, key.span());
    let mut depth = 1;
    for step in rest {
        let next: Option<(Span, &Value<'_>)> = match value.get_ref() {
            DeValue::Table(entries) => entries.get_key_value(*step).map(|(key, value)| (key.span(), value)),
            DeValue::Array(items) => {
                let named = items.iter().find(|item| name_of(item.get_ref()) == Some(step));
                let indexed = || items.get(step.parse::<usize>().ok()?);
                named.or_else(indexed).map(|item| (item.span(), item))
            }
            _ => None,
        };
        let Some((key_span, next)) = next else { break };
        span = visible(next, key_span);
        value = next;
        depth += 1;
    }
    Some(Found { depth, span })
}

/// What an element of a list is called.
fn name_of<'t>(item: &'t DeValue<'_>) -> Option<&'t str> {
    match item {
        DeValue::Table(entries) => NAMING_KEYS.iter().find_map(|key| entries.get(*key)?.get_ref().as_str()),
        other => other.as_str(),
    }
}

/// A table that only exists because of a longer header has no text of its own: then the key stands for it.
fn visible(value: &Value<'_>, key: Span) -> Span {
    if value.span().is_empty() { key } else { value.span() }
}
