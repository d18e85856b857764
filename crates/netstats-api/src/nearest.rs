//! "Did you mean": the nearest word to one that is not known.

use crate::problem::Problem;

/// The candidate nearest to `word`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The problem with a hint naming the nearest candidate, if there is one.
pub(crate) fn hint<'a>(problem: Problem, word: &str, candidates: impl Iterator<Item = &'a str>) -> Problem {
    // The distance costs the product of the lengths: a word too long to be a slip is not compared.
    match nearest(&word.chars().take(128).collect::<String>(), candidates) {
        Some(near) => problem.hint(format!("did you mean {near:?}?")),
        None => problem,
    }
}
