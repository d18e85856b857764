//! DNS messages made of any bytes.

use super::message::Question;
use crate::limits::{MAX_ANSWER_CHARS, MAX_ANSWERS};

/// A message that carries the id of a question and says that it is an answer. Where the question is repeated in random
/// case, too.
pub(crate) fn answer(bytes: &[u8]) {
    for is_guarded in [false, true] {
        let question = Question::new("example.com", "A", is_guarded).expect("a good question");
        let asked = question.bytes().expect("a good question");
        let mut bytes = bytes.to_vec();
        let Some(head) = bytes.get_mut(..3) else { return };
        head[..2].copy_from_slice(&asked[..2]);
        head[2] |= 0x80;
        if is_guarded && let Some(name) = bytes.get_mut(12..25) {
            name.copy_from_slice(&asked[12..25]);
        }
        if let Ok(response) = question.answered_by(&bytes) {
            assert!(response.answers.len() <= MAX_ANSWERS, "{} answers", response.answers.len());
            let longest = response.answers.iter().map(|answer| answer.data.chars().count()).max();
            assert!(longest.unwrap_or(0) <= MAX_ANSWER_CHARS, "an answer of {longest:?} characters");
        }
    }
}
