//! What `POST /api/what-if` computes, timed: accounts and hourly figures of a year of many destinations, from views that
//! are folded here straight from invented events. `what_if [DESTINATIONS] [DAYS] [INTERVAL_S]`
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and says what it saw")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use netstats_event::{
    ClockSource, DestinationId, Echo, Envelope, Event, JobId, PingMeasured, Position, ProbeKind, Rtt, SampleFlags,
    SampleHead, Timestamp, Transport,
};
use netstats_projector::{Error, EventReader, Projector, ReadLimit, RowBatch, RowReader};
use netstats_series::{AccountQuery, AvailabilityProjector, SeriesProjector, TotalsQuery};
use netstats_stats::Accounting;

const START_MS: i64 = 1_760_000_000_000;

#[derive(Default)]
struct Rows(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Rows {
    fn store(&self, projector: &mut dyn Projector) {
        let mut batch = RowBatch::default();
        projector.flush(&mut batch);
        let mut rows = self.0.lock().expect("one thread");
        for (key, row) in batch.changes {
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
}

impl RowReader for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().expect("one thread").get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let rows = self.0.lock().expect("one thread");
        for (key, row) in rows.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
            if !visit(key, row) {
                break;
            }
        }
        Ok(())
    }

    fn range(
        &self,
        keys: std::ops::Range<&[u8]>,
        is_backward: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let rows = self.0.lock().expect("one thread");
        let mut found: Vec<_> = rows.range(keys.start.to_vec()..keys.end.to_vec()).collect();
        if is_backward {
            found.reverse();
        }
        found.into_iter().all(|(key, row)| visit(key, row));
        Ok(())
    }
}

/// Nothing raw is read: roll-ups and stretches answer alone.
struct NoLog;

impl EventReader for NoLog {
    fn read(&self, _: Position, _: ReadLimit) -> Result<Vec<Envelope>, Error> {
        Ok(Vec::new())
    }

    fn get(&self, _: &[Position]) -> Result<Vec<Envelope>, Error> {
        Ok(Vec::new())
    }
}

fn burst(destination: u32, slot_ms: i64, dice: &mut u64) -> Event {
    let mut below = |n: u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % n
    };
    let is_dead = below(500) == 0;
    let echoes = (0..10).map(|_| match (is_dead, below(200)) {
        (true, _) | (_, 0) => Echo::Lost,
        _ => Echo::Reply(Rtt::from_micros(9_000 + u32::try_from(below(4_000)).unwrap_or(0))),
    });
    Event::PingMeasured(PingMeasured {
        head: SampleHead {
            job: JobId(1),
            destination: DestinationId(destination),
            slot_at: Timestamp::from_millis(slot_ms),
            lateness_us: 0,
            flags: SampleFlags::default(),
        },
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes: echoes.collect(),
        ttl: Some(64),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (destinations, days, interval_s) = (u32::try_from(next(100)?)?, next(365)?, next(60)?);
    let (series_rows, account_rows) = (Arc::new(Rows::default()), Arc::new(Rows::default()));
    let ((mut for_series, series), (mut for_accounts, accounts)) =
        (SeriesProjector::new(), AvailabilityProjector::new());
    for_series.attach(series_rows.clone());
    for_accounts.attach(account_rows.clone());
    let (mut position, mut dice) = (0, 7);
    let folding = Instant::now();
    let slots = days * 86_400 / interval_s;
    for slot in 0..slots {
        let at = START_MS + slot * interval_s * 1_000;
        let events: Vec<Envelope> = (1..=destinations)
            .map(|destination| {
                position += 1;
                let recorded_at = Timestamp::from_millis(at);
                Envelope { position: Position(position), recorded_at, event: burst(destination, at, &mut dice) }
            })
            .collect();
        for_series.apply(&events);
        for_accounts.apply(&events);
        if slot % 60 == 59 || slot == slots - 1 {
            series_rows.store(&mut for_series);
            account_rows.store(&mut for_accounts);
        }
    }
    println!("{position} bursts folded in {:.1} s", folding.elapsed().as_secs_f64());

    let (from, to) = (Timestamp::from_millis(START_MS), Timestamp::from_millis(START_MS + days * 86_400_000));
    let all = Instant::now();
    let (mut outages, mut hours, mut in_accounts) = (0, 0, 0.0);
    for destination in (1..=destinations).map(DestinationId) {
        let began = Instant::now();
        for retries in [0, 2] {
            let accounting = Accounting { retries, ..Accounting::default() };
            let query = AccountQuery { job: None, destination, from, to, maintenance: vec![], accounting, as_of: None };
            outages += accounts.account(&series, &query)?.outages.len();
        }
        in_accounts += began.elapsed().as_secs_f64();
        let query =
            TotalsQuery { job: None, destinations: vec![destination], probe: ProbeKind::Ping, from, to, as_of: None };
        hours += series.grouped(&NoLog, &query, &|hour| Some(hour.as_millis()))?.len();
    }
    let whole = all.elapsed().as_secs_f64();
    println!(
        "{destinations} destinations, {days} days: two accounts {in_accounts:.2} s, hours {:.2} s",
        whole - in_accounts
    );
    println!("{outages} outages, {hours} hours");
    Ok(())
}
