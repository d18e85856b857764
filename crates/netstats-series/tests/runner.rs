//! The view at work: a journal, the runner, a store of views.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use netstats_event::*;
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Runner, ViewStore, digest};
use netstats_series::*;

const MINUTE: i64 = 60_000;

#[test]
fn rows_come_from_the_log_and_a_rebuild_gives_the_same_bytes() {
    let journal = Journal::open(Arc::new(MemoryLog::default())).unwrap();
    let burst = |i: i64| {
        let jump = u32::try_from(i * 37 % 900).unwrap();
        ping(head(1, 1 + u32::try_from(i % 3).unwrap(), T0 + i / 3 * MINUTE), replies([9_000 + jump, 9_500, 10_000]))
    };
    let views: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    for part in 0..4 {
        // Started anew each time: goes on from its rows.
        let (projector, series) = SeriesProjector::new();
        let runner = Runner::start(journal.clone(), views.clone(), vec![Box::new(projector)]).unwrap();
        let last = journal.append((part * 1_000..(part + 1) * 1_000).map(burst).collect()).unwrap().last;
        assert!(runner.wait_for(last, Duration::from_secs(30)));
        assert_eq!(series.position(), last);
        let all = RawQuery { metrics: vec![Metric::Jitter], limit: usize::MAX, ..RawQuery::default() };
        let rows = series.raw(&*journal, &all).unwrap();
        assert_eq!(rows.len() as u64, last.0);
        assert!(rows.iter().all(|row| row.jitter_ms.is_some() && row.metric == Metric::Jitter));
        runner.stop();
    }

    let fresh: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let (projector, series) = SeriesProjector::new();
    let runner = Runner::start(journal.clone(), fresh.clone(), vec![Box::new(projector)]).unwrap();
    assert!(runner.wait_for(Position(4_000), Duration::from_secs(30)));
    runner.stop();
    assert_eq!(digest(&*views, "series").unwrap(), digest(&*fresh, "series").unwrap());

    let day = SeriesQuery {
        job: Some(JobId(1)),
        destination: DestinationId(2),
        probe: ProbeKind::Ping,
        from: Timestamp::from_millis(T0),
        to: Timestamp::from_millis(T0 + 1_440 * MINUTE),
        max_points: 30,
        as_of: None,
    };
    let hours = series.points(&*journal, &day).unwrap();
    assert_eq!((hours.resolution, hours.exact), (Resolution::Seconds(3_600), false));
    let minutes = series.points(&*journal, &SeriesQuery { max_points: 200, ..day.clone() }).unwrap();
    assert_eq!((minutes.resolution, minutes.exact), (Resolution::Seconds(600), true));
    let raw = series.points(&*journal, &SeriesQuery { max_points: 2_000, ..day }).unwrap();
    assert_eq!((raw.resolution, raw.exact), (Resolution::Raw, true));
    assert_eq!(raw.points[0].p95_ms.unwrap_err().to_string(), "n too small: 3 values, 20 needed");
    let slots = |answer: &SeriesAnswer| answer.points.iter().map(|point| point.slots).sum::<u64>();
    assert_eq!([slots(&hours), slots(&minutes), slots(&raw)], [1_333; 3]);
}
