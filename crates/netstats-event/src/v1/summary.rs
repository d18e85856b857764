//! What retention did, version 1.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Meaning, Wire};
use crate::{Position, SamplesSummarised};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct SamplesSummarisedV1 {
    first: u64,
    last: u64,
    kinds: Vec<u16>,
    samples: u64,
    digest: [u8; 32],
    bytes_before: u64,
    bytes_after: u64,
}

impl Wire for SamplesSummarisedV1 {
    type Event = SamplesSummarised;

    fn from_event(event: &SamplesSummarised) -> Self {
        let SamplesSummarised { first, last, kinds, samples, digest, bytes_before, bytes_after } = event.clone();
        Self { first: first.0, last: last.0, kinds, samples, digest, bytes_before, bytes_after }
    }

    fn into_event(self) -> Meaning<SamplesSummarised> {
        let Self { first, last, kinds, samples, digest, bytes_before, bytes_after } = self;
        let (first, last) = (Position(first), Position(last));
        Ok(SamplesSummarised { first, last, kinds, samples, digest, bytes_before, bytes_after })
    }
}
