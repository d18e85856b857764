//! Samples whose raw values are to go: what is left of them, such that the fold of what is left is the fold of what was
//! there, byte by byte.
//!
//! Of each sample its outcome is left. Its times go into the sums of their hour, which stand with the last sample of the
//! hour that goes: buckets merge exactly, so it does not matter where in the hour they come.

use std::collections::BTreeMap;

use netstats_event::{Condense, Envelope, Event, Position, SampleSummary, TimesSummary};
use netstats_stats::{Moments, Sketch};

use crate::bucket::HOUR_MS;
use crate::outcome::{median_of, outcome_of};
use crate::stream::StreamKey;

/// Takes the events of a part of the log in order, and tells what is left of the samples that go.
#[derive(Debug, Default)]
pub struct Summariser {
    open: BTreeMap<StreamKey, Hour>,
    left: Vec<(Position, SampleSummary)>,
    times: Vec<u32>,
}

/// The hour of a stream, as the fold has it open.
#[derive(Debug, Default)]
struct Hour {
    number: i64,
    times: Moments,
    sketch: Sketch,
    /// The last sample in it that goes.
    last: Option<usize>,
}

impl Hour {
    /// Puts the sums where they belong.
    fn close(self, left: &mut [(Position, SampleSummary)]) {
        let Some((last, extremes_us)) = self.last.zip(self.times.extremes) else { return };
        let mut sketch = Vec::new();
        self.sketch.encode(&mut sketch);
        let Moments { n, sum, sum_sq, .. } = self.times;
        left[last].1.times = Some(Box::new(TimesSummary { n, extremes_us, sum_us: sum, sum_sq, sketch }));
    }
}

impl Condense for Summariser {
    fn push(&mut self, envelope: &Envelope, goes: bool) {
        let Some(outcome) = outcome_of(&envelope.event, &mut self.times) else { return };
        let head = outcome.head;
        let key = StreamKey { job: head.job, destination: head.destination, probe: outcome.probe };
        let number = head.slot_at.as_millis().div_euclid(HOUR_MS);
        let hour = self.open.entry(key).or_insert_with(|| Hour { number, ..Hour::default() });
        if hour.number != number {
            std::mem::replace(hour, Hour { number, ..Hour::default() }).close(&mut self.left);
        }
        // What is left already stays as it is.
        let kind = envelope.event.kind().filter(|_| goes && !matches!(envelope.event, Event::Summarised(_)));
        let Some(kind) = kind else { return };
        if outcome.is_known() && outcome.has_sure_times {
            hour.times.extend(self.times.iter().copied());
            hour.sketch.add_ascending(&self.times);
        }
        hour.last = Some(self.left.len());
        let summary = SampleSummary {
            kind,
            head: netstats_event::SampleHead { lateness_us: 0, ..head },
            status: outcome.status as u8,
            verdict: outcome.verdict as u8,
            sent: outcome.sent,
            received: outcome.received,
            late: outcome.late,
            pairs: outcome.ipdv.0,
            ipdv_us: outcome.ipdv.1,
            median_us: median_of(&envelope.event, &self.times),
            times: None,
        };
        self.left.push((envelope.position, summary));
    }

    fn finish(&mut self) -> Vec<(Position, SampleSummary)> {
        let Self { open, mut left, .. } = std::mem::take(self);
        for hour in open.into_values() {
            hour.close(&mut left);
        }
        left
    }
}
