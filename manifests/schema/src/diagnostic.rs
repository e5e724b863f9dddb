//! What is wrong with a manifest, where, and what to do next: collected, then rendered as rustc does.
//!
//! Rendering never fails: spans that do not fit the text are clamped, control characters are made visible.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

/// A byte range of the manifest's text.
pub type Span = Range<usize>;

/// The most errors that one report prints; the rest are only counted. A binary file has thousands.
pub const MAX_PRINTED_ERRORS: usize = 20;

/// Columns assumed for the terminal: longer source lines are cut around the caret.
const REPORT_COLUMNS: usize = 140;

/// One error of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub title: String,
    /// Where the caret goes; `None` if the error is not about a place in the text.
    pub span: Option<Span>,
    /// Text beside the caret; may be empty.
    pub label: String,
    /// Another place that explains the error, with its text.
    pub related: Option<(Span, String)>,
    /// What to do next.
    pub help: String,
}

impl Diagnostic {
    /// An error at a place in the text.
    pub fn at(span: Span, title: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::nowhere(title, help) }
    }

    /// An error that is about the file as a whole.
    pub(crate) fn nowhere(title: impl Into<String>, help: impl Into<String>) -> Self {
        Self { title: title.into(), span: None, label: String::new(), related: None, help: help.into() }
    }

    /// Adds the text beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds another place and its text.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }
}

/// The text of a manifest and where it came from: what a report quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) origin: PathBuf,
    pub(crate) text: String,
}

impl Document {
    pub(crate) fn new(origin: &Path, text: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), text: text.into() }
    }
}

/// Everything that is wrong with one manifest, in the order of the text. Holds at least one error.
///
/// `Display` is the report without colour; it ends without a newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestErrors {
    document: Document,
    diagnostics: Vec<Diagnostic>,
}

impl ManifestErrors {
    pub(crate) fn new(document: Document, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
        Self { document, diagnostics }
    }

    /// The errors, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The report with terminal colours.
    pub fn to_colored_string(&self) -> String {
        self.render(&Renderer::styled().term_width(REPORT_COLUMNS))
    }

    fn render(&self, renderer: &Renderer) -> String {
        let renderer = renderer.clone().decor_style(DecorStyle::Ascii);
        let mut reports: Vec<String> = self
            .diagnostics
            .iter()
            .take(MAX_PRINTED_ERRORS)
            .map(|diagnostic| renderer.render(&[self.group(diagnostic)]))
            .collect();
        if let Some(more @ 1..) = self.diagnostics.len().checked_sub(MAX_PRINTED_ERRORS) {
            reports.push(format!("error: {more} more errors are not shown"));
        }
        reports.join("\n\n")
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let text = self.document.text.as_str();
        // The renderer shows control characters of titles and quoted lines as pictures. It prints those of paths,
        // labels and messages (0.12.17), so that a file's name could steer the terminal.
        let path = normalize_untrusted_str(&self.document.origin.display().to_string());
        let help = Level::HELP.message(normalize_untrusted_str(&diagnostic.help));
        let title = Level::ERROR.primary_title(&diagnostic.title);
        let Some(span) = diagnostic.span.as_ref().filter(|_| !text.is_empty()) else {
            // An empty text has no line to quote.
            return title.element(Origin::path(path)).element(help);
        };
        let label = Some(normalize_untrusted_str(&diagnostic.label)).filter(|label| !label.is_empty());
        let primary = AnnotationKind::Primary.span(clamp(text, span)).label(label);
        let related = diagnostic.related.as_ref().map(|(span, label)| {
            let label = normalize_untrusted_str(label);
            AnnotationKind::Context.span(clamp(text, span)).label(label)
        });
        title.element(Snippet::source(text).path(path).annotation(primary).annotations(related)).element(help)
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain().term_width(REPORT_COLUMNS)))
    }
}

impl std::error::Error for ManifestErrors {}

/// The part of `span` that exists in `text`, on character boundaries and on the first of its lines: the renderer
/// panics on a span beyond the text, and an error about a whole table would quote the whole table.
fn clamp(text: &str, span: &Span) -> Span {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    let first_line = text.get(start..end).and_then(|part| part.lines().next());
    start..start + first_line.map_or(0, str::len)
}
