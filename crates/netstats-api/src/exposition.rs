//! The text that Prometheus scrapes: its own format (0.0.4), or OpenMetrics 1.0 for those who ask for it. Both are written
//! from a snapshot, so nothing is registered anywhere and nothing can be left behind by what was removed.

use std::fmt::Write as _;

use hyper::header::HeaderValue;

/// The type of Prometheus' own format.
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// OpenMetrics.
pub(crate) const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until a restart; its name ends in `_total`.
    Counter,
    Gauge,
    Summary,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }
}

/// Labels as they are written, made once for all samples that carry them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(String);

impl Labels {
    /// With one more. Any text may be a value.
    pub(crate) fn and(&self, name: &str, value: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + name.len() + value.len() + 4);
        text.push_str(&self.0);
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
        Self(text)
    }

    /// With a label of its own alone.
    pub(crate) fn one(name: &str, value: &str) -> Self {
        Self::default().and(name, value)
    }
}

/// The text in the making.
#[derive(Debug)]
pub(crate) struct Exposition {
    text: String,
    is_open: bool,
    name: &'static str,
}

impl Exposition {
    /// In the format that the client's `Accept` asks for.
    pub(crate) fn accepted(accept: Option<&HeaderValue>) -> Self {
        let is_open = accept.is_some_and(|value| {
            value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("application/openmetrics-text"))
        });
        Self { text: String::with_capacity(16 * 1024), is_open, name: "" }
    }

    pub(crate) const fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(if self.is_open { OPEN } else { TEXT })
    }

    /// Begins a family; its samples follow. `help` is one line without a backslash.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) -> &mut Self {
        debug_assert!(kind != Kind::Counter || name.ends_with("_total"), "{name}");
        debug_assert!(!help.contains(['\\', '\n', '"']), "{name}");
        // OpenMetrics names the family, the older format the sample.
        let family = if self.is_open && kind == Kind::Counter { name.trim_end_matches("_total") } else { name };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {}", kind.name());
        self.name = name;
        self
    }

    /// A sample of the family.
    pub(crate) fn sample(&mut self, labels: &Labels, value: f64) -> &mut Self {
        self.part("", labels, value)
    }

    /// A sample of the family without labels.
    pub(crate) fn value(&mut self, value: f64) -> &mut Self {
        self.sample(&Labels::default(), value)
    }

    /// A part of a summary or histogram: `_bucket`, `_sum`, `_count`.
    pub(crate) fn part(&mut self, suffix: &str, labels: &Labels, value: f64) -> &mut Self {
        let (name, Labels(labels)) = (self.name, labels);
        let _ = if labels.is_empty() {
            writeln!(self.text, "{name}{suffix} {value}")
        } else {
            writeln!(self.text, "{name}{suffix}{{{labels}}} {value}")
        };
        self
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> String {
        if self.is_open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(accept: Option<&'static str>) -> String {
        let mut out = Exposition::accepted(accept.map(HeaderValue::from_static).as_ref());
        out.family(Kind::Counter, "x_total", "Things.").value(3.0).sample(&Labels::one("a", "b\"\\\n\u{e9}"), 0.25);
        out.finish()
    }

    #[test]
    fn label_values_may_hold_anything() {
        let text =
            "# HELP x_total Things.\n# TYPE x_total counter\nx_total 3\nx_total{a=\"b\\\"\\\\\\n\u{e9}\"} 0.25\n";
        assert_eq!(written(None), text);
    }

    #[test]
    fn openmetrics_names_the_family_of_a_counter_and_ends() {
        let text = written(Some("Application/OpenMetrics-Text; version=1.0.0, text/plain;q=0.5"));
        assert!(text.starts_with("# HELP x Things.\n# TYPE x counter\nx_total 3\n"), "{text}");
        assert!(text.ends_with("0.25\n# EOF\n"), "{text}");
    }
}
