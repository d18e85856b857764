//! Keys that were called otherwise in former versions: taken as what they are called now, with a warning that names the
//! place and the new name. A key is taken out of the table with a new major version at the earliest.

use std::path::Path;

use ron::error::Error as Ron;

use super::problem::Problem;
use super::{ron_options, shape};

/// A key that has another name now.
pub(super) struct Renamed {
    /// The struct of `shape.rs` that it is in.
    pub(super) within: &'static str,
    pub(super) before: &'static str,
    pub(super) now: &'static str,
}

/// All of them.
pub(super) const RENAMED: &[Renamed] = &[];

/// Reads the text: its shape, the text with every key by its present name (places in it are those of the file), and
/// the warnings.
///
/// # Errors
/// Something in it is wrong.
pub(super) fn read(
    file: &Path,
    text: &str,
    renamed: &[Renamed],
) -> Result<(shape::File, String, Vec<String>), Problem> {
    let (mut text, mut warnings) = (text.to_owned(), Vec::new());
    loop {
        let error = match ron_options().from_str(&text) {
            Ok(shape) => return Ok((shape, text, warnings)),
            Err(error) => error,
        };
        let problem = Problem::from_ron(file, &text, &error);
        let Ron::NoSuchStructField { found, outer, .. } = &error.code else { return Err(problem) };
        let is_it = |it: &&Renamed| outer.as_deref() == Some(it.within) && found == it.before && it.now != it.before;
        let (Some(it), Some((line, column, _))) = (renamed.iter().find(is_it), &problem.at) else {
            return Err(problem);
        };
        let Some(place) = byte_of(&text, *line, *column) else { return Err(problem) };
        warnings.push(format!(
            "{}:{line}:{column}: `{}` is called `{}` now: rename it; the old name goes with a later version",
            file.display(),
            it.before,
            it.now
        ));
        text.replace_range(place..place + it.before.len(), it.now);
    }
}

/// Where line and column, both from 1, begin.
fn byte_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let (at, _) = text[before..].char_indices().nth(column - 1)?;
    Some(before + at)
}

#[cfg(test)]
mod tests {
    use super::super::parse_with;
    use super::*;

    const TABLE: &[Renamed] = &[
        Renamed { within: "Limits", before: "shortest_s", now: "min_interval_s" },
        Renamed { within: "Job", before: "every", now: "interval" },
    ];

    #[test]
    fn a_key_by_its_old_name_counts_and_is_warned_of_with_place_and_new_name() {
        let text = "(\n  limits: (shortest_s: 5),\n  jobs: [(name: \"ä\", every: \"7s\", metrics: [ping], destination_tags: [\"t\"])],\n)";
        let config = parse_with(Path::new("x.ron"), text.as_bytes(), TABLE).unwrap();
        assert_eq!(config.policy.min_interval_s, 5);
        assert_eq!(config.desired(None).0.jobs[0].spec.interval_s, 7);
        let [first, second] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
        assert!(first.starts_with("x.ron:2:12: `shortest_s` is called `min_interval_s` now"), "{first}");
        assert!(second.starts_with("x.ron:3:22: `every` is called `interval` now"), "{second}");
    }

    #[test]
    fn an_old_name_elsewhere_or_beside_the_new_one_is_refused() {
        let refused = |text: &str| parse_with(Path::new("x.ron"), text.as_bytes(), TABLE).unwrap_err().to_string();
        assert!(refused("(server: (shortest_s: 5))").contains("there is no key `shortest_s`"));
        assert!(refused("(limits: (min_interval_s: 5, shortest_s: 5))").contains("`min_interval_s` is here twice"));
    }

    #[test]
    fn every_new_name_in_the_table_is_a_key() {
        for it in RENAMED {
            assert!(it.before != it.now && it.within.starts_with(|c: char| c.is_ascii_uppercase()), "{}", it.before);
        }
    }
}
