//! A complaint about the config file: where, what, and what was expected.

use std::fmt;
use std::path::{Path, PathBuf};

use ron::error::{Error as Ron, SpannedError};

/// What is wrong with a config file. Displays as
///
/// ```text
/// config/network-stats.ron:12:9: there is no key `intervall` here
///    12 |         intervall: "5m",
///       |         ^
///   = expected one of `name`, `interval`, ...
///   = did you mean `interval`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) file: PathBuf,
    /// Line and column from 1, and the text of the line; none if it is about the whole file.
    pub(crate) at: Option<(usize, usize, String)>,
    pub(crate) message: String,
    /// Further lines: what was expected, what to do.
    pub(crate) notes: Vec<String>,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column, _)) = &self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some((line, column, text)) = &self.at {
            // A tab is drawn as one blank, so that the caret stands where it should.
            let (text, column) = cut(&text.replace('\t', " "), *column);
            write!(f, "\n{line:>6} | {text}\n       | {:>column$}", '^')?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n  = {note}"))
    }
}

/// A long line is cut around the column, so that a file in one line does not fill the screen.
fn cut(text: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 120;
    if text.chars().count() <= WIDTH {
        return (text.to_owned(), column);
    }
    let from = column.saturating_sub(WIDTH / 2);
    (text.chars().skip(from).take(WIDTH).collect(), column - from)
}

impl Problem {
    /// About the file as a whole.
    pub(crate) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at: None, message: message.into(), notes: Vec::new() }
    }

    /// At a byte of the text.
    pub(crate) fn at_byte(file: &Path, text: &str, byte: usize, message: impl Into<String>) -> Self {
        let before = &text[..byte.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::at_line(file, text, line, column, message)
    }

    fn at_line(file: &Path, text: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        let shown = text.lines().nth(line - 1).unwrap_or_default().to_owned();
        Self { at: Some((line, column.max(1), shown)), ..Self::whole(file, message) }
    }

    /// With one more line.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With the nearest of some names, if one is near.
    pub(crate) fn nearest<'a>(self, wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(wrong, names) {
            Some(name) => self.note(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// From what the RON parser says.
    pub(crate) fn from_ron(file: &Path, text: &str, error: &SpannedError) -> Self {
        // The cursor stands after what was read; the start of the span is where that began. For an unknown word the
        // word itself is looked up in the line, which is exact.
        let (start, end) = (error.span.start, error.span.end);
        let word = match &error.code {
            Ron::NoSuchStructField { found, .. } | Ron::NoSuchEnumVariant { found, .. } => Some(found.as_str()),
            Ron::DuplicateStructField { field, .. } => Some(*field),
            _ => None,
        };
        let in_line = |word: &str| {
            let line = text.lines().nth(end.line.max(1) - 1)?;
            let upto: String = line.chars().take(end.col).collect();
            upto.rfind(word).map(|byte| (end.line, upto[..byte].chars().count() + 1))
        };
        let is_place = |line: usize, column: usize| {
            text.lines().nth(line.max(1) - 1).is_some_and(|text| column >= 1 && column <= text.chars().count() + 1)
        };
        // The span of a text begins after its quote, that of a number after its sign.
        let after = |sign: char| {
            let line = text.lines().nth(start.line.max(1) - 1).unwrap_or_default();
            start.col > 1 && line.chars().nth(start.col - 2) == Some(sign)
        };
        let (line, column) = match &error.code {
            Ron::Eof => (end.line.max(1), end.col.max(1)),
            Ron::Message(_) if after('"') => (start.line, start.col - 1),
            Ron::IntegerOutOfBounds if after('-') => (start.line, start.col - 1),
            _ => word.and_then(in_line).unwrap_or_else(|| {
                if is_place(start.line, start.col) {
                    first_visible(text, start.line, start.col)
                } else {
                    (end.line.max(1), end.col.max(1))
                }
            }),
        };
        let at = |message: String| Self::at_line(file, text, line, column, message);
        match &error.code {
            Ron::NoSuchStructField { expected, found, .. } => at(format!("there is no key `{found}` here"))
                .note(one_of(expected))
                .nearest(found, expected.iter().copied()),
            Ron::NoSuchEnumVariant { expected, found, .. } => at(format!("`{found}` is not known here"))
                .note(one_of(expected))
                .nearest(found, expected.iter().copied()),
            Ron::DuplicateStructField { field, .. } => at(format!("the key `{field}` is here twice")),
            Ron::MissingStructField { field, .. } => at(format!("the key `{field}` is missing")),
            Ron::ExpectedIdentifier => at("a word without quotes is expected here".to_owned()),
            Ron::ExpectedString => at("text in double quotes is expected here".to_owned()),
            Ron::Eof => at("the file ends too early: a bracket or a quote is not closed".to_owned()),
            Ron::TrailingCharacters => at("nothing may follow the closing `)`".to_owned()),
            Ron::ExceededRecursionLimit => at("the brackets are nested too deeply".to_owned()),
            Ron::IntegerOutOfBounds => at("the number is too large or negative".to_owned()),
            Ron::Message(message) => at(message.clone()),
            other => {
                let text = other.to_string();
                let mut letters = text.chars();
                at(letters.next().map(|c| c.to_lowercase().chain(letters).collect()).unwrap_or_default())
            }
        }
    }
}

/// The first place from there on that is not blank; the place itself if nothing follows.
fn first_visible(text: &str, line: usize, column: usize) -> (usize, usize) {
    let lines = text.lines().enumerate().skip(line - 1);
    lines
        .filter_map(|(i, text)| {
            let from = if i + 1 == line { column - 1 } else { 0 };
            let at = text.chars().skip(from).position(|c| !c.is_whitespace())?;
            Some((i + 1, from + at + 1))
        })
        .next()
        .unwrap_or((line, column))
}

fn one_of(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("expected one of {}", names.join(", "))
}

/// The name most like `wrong`, if it is like it at all.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
