//! From TOML values to typed values: every function reports what it refuses and goes on, so that one run finds
//! as many errors as it can. Knows TOML and the units, not the meaning of any key.

use std::ops::RangeInclusive;
use std::time::Duration;

use coracle_policy::{MAX_NAME_BYTES, Name};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Span};
use crate::units::{duration_text, parse_duration, parse_size, size_text};

pub(crate) type Value<'i> = Spanned<DeValue<'i>>;
pub(crate) type Errors = Vec<Diagnostic>;

/// A key that the schema knows.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    /// A line that shows a right use, for help texts.
    pub(crate) example: &'static str,
}

impl Field {
    pub(crate) const fn new(key: &'static str, example: &'static str) -> Self {
        Self { key, example }
    }
}

/// What a name is for; decides its character set and the words of its errors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    Manifest,
    Container,
    Topic,
    Sensor,
    Pin,
    Bus,
    SpiDevice,
    Reason,
    ConfigKey,
}

impl NameKind {
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Container => "container",
            Self::Topic => "topic",
            Self::Sensor => "sensor",
            Self::Pin => "pin",
            Self::Bus => "bus",
            Self::SpiDevice => "device",
            Self::Reason => "wake reason",
            Self::ConfigKey => "config key",
        }
    }

    /// One thing of this kind, as messages call it.
    pub(crate) fn of(self, name: &str) -> String {
        format!("{} `{name}`", self.noun())
    }

    const fn extra_characters(self) -> &'static str {
        match self {
            Self::Topic => "-/",
            Self::ConfigKey => "-_",
            Self::Pin | Self::Bus | Self::SpiDevice => "-_.",
            Self::Manifest | Self::Container | Self::Sensor | Self::Reason => "-",
        }
    }
}

/// A table while it is read. Keys that nobody asked for are errors in the end.
pub(crate) struct Table<'t, 'i> {
    title: String,
    span: Span,
    entries: &'t DeTable<'i>,
    known: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// `title` is how messages call the table, for example `[container.tracker]`.
    pub(crate) fn new(title: impl Into<String>, span: Span, entries: &'t DeTable<'i>) -> Self {
        Self { title: title.into(), span, entries, known: Vec::new() }
    }

    /// The value as a table, or an error that shows `field`'s example.
    pub(crate) fn of(
        value: &'t Value<'i>,
        title: impl Into<String>,
        field: Field,
        errors: &mut Errors,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(Self::new(title, value.span(), entries)),
            _ => wrong_type(value, field, "a table", errors),
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn optional(&mut self, field: Field) -> Option<&'t Value<'i>> {
        self.known.push(field.key);
        self.entries.get(field.key)
    }

    pub(crate) fn required(&mut self, field: Field, errors: &mut Errors) -> Option<&'t Value<'i>> {
        let value = self.optional(field);
        if value.is_none() {
            errors.push(
                Diagnostic::at(
                    self.span.clone(),
                    format!("{} has no `{}`", self.title, field.key),
                    format!("add a line such as `{}`", field.example),
                )
                .label(format!("`{}` is missing", field.key)),
            );
        }
        value
    }

    /// Ends the reading: reports every key that was not asked for.
    pub(crate) fn deny_unknown(self, errors: &mut Errors) {
        for key in self.entries.keys() {
            if self.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let help = match closest(key.get_ref(), self.known.iter().copied()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("known keys here: {}", list(self.known.iter().copied())),
            };
            errors.push(
                Diagnostic::at(key.span(), format!("unknown key {} in {}", quote(key.get_ref()), self.title), help)
                    .label("not a key of this table"),
            );
        }
    }
}

/// The entries of a table whose keys are names that the author chose, in the order of the text.
pub(crate) fn entries_in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Value<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

pub(crate) fn text<'t>(value: &'t Value<'_>, field: Field, errors: &mut Errors) -> Option<&'t str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        _ => wrong_type(value, field, "a string", errors),
    }
}

pub(crate) fn integer(value: &Value<'_>, field: Field, range: RangeInclusive<u64>, errors: &mut Errors) -> Option<u64> {
    let DeValue::Integer(number) = value.get_ref() else {
        return wrong_type(value, field, "an integer", errors);
    };
    let number = unsigned(number);
    in_range(value, field, number, range, |number| number.to_string(), errors)
}

/// A number of bytes, as an integer or with a unit.
pub(crate) fn size(value: &Value<'_>, field: Field, range: RangeInclusive<u64>, errors: &mut Errors) -> Option<u64> {
    let text = match value.get_ref() {
        DeValue::Integer(number) => {
            return in_range(value, field, unsigned(number), range, size_text, errors);
        }
        DeValue::String(text) => text,
        _ => return wrong_type(value, field, "a size", errors),
    };
    match parse_size(text) {
        Some(bytes) => in_range(value, field, Some(bytes), range, size_text, errors),
        None => report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("`{}`: {} is not a size", field.key, quote(text)),
                format!(
                    "write a whole number of bytes, or one followed by `KiB` or `MiB`, for example `{}`",
                    field.example
                ),
            )
            .label("not a size"),
        ),
    }
}

pub(crate) fn duration(value: &Value<'_>, field: Field, max: Duration, errors: &mut Errors) -> Option<Duration> {
    let Some(text) = value.get_ref().as_str() else {
        return wrong_type(value, field, "a duration", errors);
    };
    match parse_duration(text) {
        Some(duration) if duration <= max => Some(duration),
        Some(_) => report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("`{}` is out of range", field.key),
                format!("the most is {}", duration_text(max)),
            )
            .label("too long"),
        ),
        None => report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("`{}`: {} is not a duration", field.key, quote(text)),
                format!(
                    "write a whole number followed by `us`, `ms`, `s`, `min` or `h`, for example `{}`",
                    field.example
                ),
            )
            .label("not a duration"),
        ),
    }
}

pub(crate) fn flag(value: &Value<'_>, field: Field, errors: &mut Errors) -> Option<bool> {
    match value.get_ref() {
        DeValue::Boolean(flag) => Some(*flag),
        _ => wrong_type(value, field, "a boolean", errors),
    }
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(
    value: &Value<'_>,
    field: Field,
    choices: &[(&'static str, T)],
    errors: &mut Errors,
) -> Option<T> {
    let word = text(value, field, errors)?;
    if let Some((_, meaning)) = choices.iter().find(|(name, _)| *name == word) {
        return Some(*meaning);
    }
    let words = list(choices.iter().map(|(name, _)| *name));
    report(
        errors,
        Diagnostic::at(
            value.span(),
            format!("`{}` cannot be {}", field.key, quote(word)),
            format!("use one of {words}"),
        )
        .label(format!("not one of {words}")),
    )
}

pub(crate) fn name(value: &Value<'_>, field: Field, kind: NameKind, errors: &mut Errors) -> Option<Name> {
    check_name(text(value, field, errors)?, value.span(), kind, errors)
}

/// Checks a name that is already text: a key, or the value of one.
pub(crate) fn check_name(text: &str, span: Span, kind: NameKind, errors: &mut Errors) -> Option<Name> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || kind.extra_characters().contains(c);
    let problem = match text.chars().find(|&c| !allowed(c)) {
        Some(wrong) => format!("{} is not allowed in it", quote(&wrong.to_string())),
        None if text.is_empty() => "it is empty".to_owned(),
        None if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            "it must start with a letter or a digit".to_owned()
        }
        None => match Name::try_from(text) {
            Ok(name) => return Some(name),
            Err(_) => format!("it has {} bytes", text.len()),
        },
    };
    let extra = list(kind.extra_characters().split("").filter(|c| !c.is_empty()));
    report(
        errors,
        Diagnostic::at(
            span,
            format!("{} is not a valid {} name", quote(text), kind.noun()),
            format!(
                "use `a` to `z`, `0` to `9` and {extra}, starting with a letter or a digit, at most {MAX_NAME_BYTES} bytes"
            ),
        )
        .label(problem),
    )
}

/// A list of different names, at most `max` of them.
pub(crate) fn names(value: &Value<'_>, field: Field, kind: NameKind, max: usize, errors: &mut Errors) -> Vec<Name> {
    let read = |item: &_, errors: &mut Errors| name(item, field, kind, errors);
    let called = |name: &Name| Some(kind.of(name));
    entries(value, field, "a list of strings", max, read, called, errors)
}

/// A list of at most `max` entries that `read` can read. What `called` gives for an entry, no other entry may be called;
/// `None` for entries that need not differ.
pub(crate) fn entries<'t, 'i, T>(
    value: &'t Value<'i>,
    field: Field,
    expected: &str,
    max: usize,
    mut read: impl FnMut(&'t Value<'i>, &mut Errors) -> Option<T>,
    called: impl Fn(&T) -> Option<String>,
    errors: &mut Errors,
) -> Vec<T> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong_type(value, field, expected, errors).unwrap_or_default();
    };
    let mut seen: Vec<(T, Span)> = Vec::new();
    for item in items {
        let Some(entry) = read(item, errors) else {
            continue;
        };
        if let Some(own) = called(&entry)
            && let Some((_, first)) = seen.iter().find(|(earlier, _)| called(earlier).as_ref() == Some(&own))
        {
            errors.push(
                Diagnostic::at(
                    item.span(),
                    format!("{own} is named twice in `{}`", field.key),
                    "remove one of the two",
                )
                .label("named again here")
                .related(first.clone(), "named here first"),
            );
            continue;
        }
        if seen.len() == max {
            errors.push(
                Diagnostic::at(
                    item.span(),
                    format!("`{}` has more than {max} entries", field.key),
                    format!("name at most {max}"),
                )
                .label("one too many"),
            );
            break;
        }
        seen.push((entry, item.span()));
    }
    seen.into_iter().map(|(entry, _)| entry).collect()
}

/// An array of tables, `[[title]]`.
pub(crate) fn tables<'t, 'i>(
    value: &'t Value<'i>,
    title: &str,
    field: Field,
    errors: &mut Errors,
) -> Vec<Table<'t, 'i>> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong_type(value, field, "a list of tables", errors).unwrap_or_default();
    };
    items.iter().filter_map(|item| Table::of(item, title, field, errors)).collect()
}

pub(crate) fn wrong_type<T>(value: &Value<'_>, field: Field, expected: &str, errors: &mut Errors) -> Option<T> {
    wrong_type_of(field.key, value, field, expected, errors)
}

/// As [`wrong_type`], for a value whose key the author chose.
pub(crate) fn wrong_type_of<T>(
    key: &str,
    value: &Value<'_>,
    field: Field,
    expected: &str,
    errors: &mut Errors,
) -> Option<T> {
    let found = value.get_ref().type_str();
    report(
        errors,
        Diagnostic::at(
            value.span(),
            format!("{} must be {expected}, not {}", quote(key), with_article(found)),
            format!("write it as in `{}`", field.example),
        )
        .label(format!("expected {expected}")),
    )
}

/// Adds an error; `None` for the value that could not be read.
pub(crate) fn report<T>(errors: &mut Errors, diagnostic: Diagnostic) -> Option<T> {
    errors.push(diagnostic);
    None
}

/// Text from the manifest inside a message: in backquotes, one line, no control characters, not too long.
pub(crate) fn quote(text: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 60;
    let mut quoted: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    if quoted.len() < text.len() {
        quoted.push_str("...");
    }
    format!("`{}`", quoted.escape_debug())
}

/// `a`, `b`, `c` in backquotes.
pub(crate) fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(quote).collect();
    quoted.join(", ")
}

/// The candidate that `word` was probably meant to be: at most two edits away, and less than half of the word.
pub(crate) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const MAX_EDITS: usize = 2;
    // Keys and names are short; a long word is no typing error of one, and the distance costs its square.
    if word.len() > 2 * MAX_NAME_BYTES {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= MAX_EDITS && 2 * edits < word.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, from_char) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut next = vec![left];
        for (above, to_char) in row.windows(2).zip(to.chars()) {
            let [diagonal, above] = *above else { continue };
            left = (diagonal + usize::from(from_char != to_char)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// `None` if it is negative or does not fit.
pub(crate) fn unsigned(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn in_range(
    value: &Value<'_>,
    field: Field,
    number: Option<u64>,
    range: RangeInclusive<u64>,
    show: impl Fn(u64) -> String,
    errors: &mut Errors,
) -> Option<u64> {
    if let Some(number) = number.filter(|number| range.contains(number)) {
        return Some(number);
    }
    let (min, max) = (show(*range.start()), show(*range.end()));
    report(
        errors,
        Diagnostic::at(
            value.span(),
            format!("`{}` is out of range", field.key),
            format!("choose a value from {min} to {max}"),
        )
        .label(format!("must be from {min} to {max}")),
    )
}

/// A number whose range was checked, in its own type. Beyond the range it would become 0, never a larger number.
pub(crate) fn narrow<From, To: TryFrom<From> + Default>(number: From) -> To {
    To::try_from(number).unwrap_or_default()
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {noun}")
}

#[cfg(test)]
mod tests {
    use super::{closest, edit_distance};

    #[test]
    fn similar_words() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        let keys = ["memory", "fuel_per_event", "queue"];
        assert_eq!(closest("memry", keys), Some("memory"));
        assert_eq!(closest("queu", keys), Some("queue"));
        assert_eq!(closest("stack", keys), None);
        assert_eq!(closest("q", keys), None);
    }
}
