//! The demo's past: the events that the collector would have recorded, slot by slot, and a few that people would have.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use netstats_event::{
    AnnotationSpec, CollectorStarted, CollectorStopped, DestinationId, Envelope, Event, HostSlept, JobId, Meta,
    MissReason, Position, ProbeKind, ProbeOptions, SampleHead, SlotsMissed, Timestamp, UplinkLost, UplinkRestored,
};
use netstats_inventory::{Command, Inventory, Policy, Slots, decide, probes};
use netstats_log::AppendTicket;
use netstats_probe::{Outcome, Request};

use super::probes::outcome;
use super::world::{ASLEEP, NEW_ROUTER, UPLINK_DOWN, World};
use crate::config::Config;
use crate::core::{Core, catch_up};

/// Events of one submission.
const BATCH: usize = 1_000;
/// Submissions under way: the disk and the invention of the next ones overlap.
const UNDER_WAY: usize = 8;
/// From a slot to its record: the burst, and the wait for its last packet.
const RECORDED_AFTER: Duration = Duration::from_millis(2_050);

/// One (job, destination, probe).
struct Stream {
    job: JobId,
    destination: DestinationId,
    probe: ProbeKind,
    slots: Slots,
    request: Request,
}

/// Appends everything from `start` up to `end`; returns how many events.
///
/// # Errors
/// The log does not take them; a view stands still.
pub(super) fn write(core: &Core, config: &Config, world: &World, start: Timestamp, end: Timestamp) -> Result<u64> {
    let mut writer = Writer { core, batch: Vec::with_capacity(BATCH), tickets: VecDeque::new(), written: 0 };
    let mut inventory = Inventory::default();
    let (desired, _) = config.desired(None);
    writer.decided(&mut inventory, Command::ApplyConfig(desired), &Meta::by("config"), &config.policy, start)?;
    writer.push(start, started().into())?;

    let mut stories: VecDeque<Story> = stories(world, start).into();
    let streams = streams(&inventory);
    let mut due = BinaryHeap::new();
    let next = |index: usize, after| {
        let stream: &Stream = &streams[index];
        stream.slots.next(stream.destination, stream.probe, after).filter(|at| *at < end).map(|at| Reverse((at, index)))
    };
    due.extend((0..streams.len()).filter_map(|index| next(index, start)));
    let asleep = (world.minutes_ago(ASLEEP.0), world.minutes_ago(ASLEEP.1));
    while let Some(Reverse((at, index))) = due.pop() {
        while stories.front().is_some_and(|story| story.at <= at) {
            let story = stories.pop_front().context("it was there")?;
            story.tell(&mut writer, &mut inventory, &streams, &config.policy)?;
        }
        due.extend(next(index, at));
        let stream = &streams[index];
        let is_enabled = inventory.jobs.get(&stream.job).is_some_and(|job| job.spec.enabled);
        if is_enabled && !(asleep.0 <= at && at < asleep.1) {
            writer.push(at.plus(RECORDED_AFTER), sample(world, stream, at))?;
        }
    }
    writer.push(end, CollectorStopped { reason: "signal".to_owned() }.into())?;
    let written = writer.finish()?;
    catch_up(&core.runner, &core.journal)?;
    Ok(written)
}

fn started() -> CollectorStarted {
    CollectorStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: String::new(),
        host: "demo".to_owned(),
        system: std::env::consts::OS.to_owned(),
        monotonic_ns: 0,
        is_after_crash: false,
        last_seen: None,
    }
}

fn streams(inventory: &Inventory) -> Vec<Stream> {
    let mut streams = Vec::new();
    let options: Arc<ProbeOptions> = Arc::default();
    for job in inventory.jobs.values() {
        for destination in inventory.members(job) {
            for probe in probes(&job.spec) {
                let host = inventory.destinations.get(&destination).map(|it| it.spec.host.clone()).unwrap_or_default();
                let request = Request { host, port: None, options: Arc::clone(&options) };
                streams.push(Stream { job: job.id, destination, probe, slots: Slots::of(job), request });
            }
        }
    }
    streams
}

fn sample(world: &World, stream: &Stream, at: Timestamp) -> Event {
    let mut head = SampleHead { job: stream.job, destination: stream.destination, slot_at: at, ..Outcome::BLANK };
    head.flags.uplink_down = world.is_cut_off(at);
    // A real collector is late by some of this.
    head.lateness_us = 90 + (at.as_millis() % 97) as u32 * 3;
    outcome(world, stream.probe, &stream.request, at).into_event(stream.probe, head)
}

/// Something that happened besides measuring.
struct Story {
    at: Timestamp,
    what: Tale,
}

enum Tale {
    /// By this person, for this reason.
    Command(&'static str, &'static str, fn(&Inventory, Timestamp) -> Option<Command>),
    Observed(Box<Event>),
    /// Slept from then until now.
    Woke(Timestamp),
}

fn stories(world: &World, start: Timestamp) -> Vec<Story> {
    let ago = |minutes, what| Story { at: world.minutes_ago(minutes), what };
    const DAY: i64 = 24 * 60;
    let mut stories = vec![
        ago(
            62 * DAY,
            Tale::Command("user:maria", "the branch moved to the new building", |inventory, _| {
                let old = inventory.destination_by_name("berlin")?;
                let mut spec = old.spec.clone();
                spec.description = Some("Second floor, rack B; tunnel over the new line".to_owned());
                Some(Command::ChangeDestination { id: old.id, spec })
            }),
        ),
        ago(
            48 * DAY,
            Tale::Command("user:jonas", "firewall work", |inventory, _| {
                Some(Command::StopJob { id: inventory.job_by_name("routes")?.id })
            }),
        ),
        ago(
            46 * DAY,
            Tale::Command("user:jonas", "firewall work is done", |inventory, _| {
                Some(Command::StartJob { id: inventory.job_by_name("routes")?.id })
            }),
        ),
        ago(
            UPLINK_DOWN.0,
            Tale::Observed(Box::new(UplinkLost { reason: "gateway silent".into(), gateway: None }.into())),
        ),
        ago(UPLINK_DOWN.1, Tale::Observed(Box::new(UplinkRestored { gateway: None }.into()))),
        ago(
            NEW_ROUTER,
            Tale::Command("user:jonas", "router replaced", |inventory, at| {
                Some(Command::AddAnnotation(AnnotationSpec {
                    title: "New router".to_owned(),
                    text: Some(
                        "Keeps its queues short (CAKE): calls and downloads no longer get in each other's way"
                            .to_owned(),
                    ),
                    start_time: at,
                    destinations: vec![
                        inventory.destination_by_name("isp-edge")?.id,
                        inventory.destination_by_name("cloud-eu")?.id,
                    ],
                    ..AnnotationSpec::default()
                }))
            }),
        ),
        ago(ASLEEP.1, Tale::Woke(world.minutes_ago(ASLEEP.0))),
        ago(
            8 * DAY,
            Tale::Command("user:maria", "complaints about calls", |inventory, _| {
                let old = inventory.destination_by_name("voip")?;
                let mut spec = old.spec.clone();
                spec.tags.push("watch".to_owned());
                Some(Command::ChangeDestination { id: old.id, spec })
            }),
        ),
    ];
    stories.retain(|story| story.at > start);
    stories.sort_by_key(|story| story.at);
    stories
}

impl Story {
    fn tell(
        self,
        writer: &mut Writer<'_>,
        inventory: &mut Inventory,
        streams: &[Stream],
        policy: &Policy,
    ) -> Result<()> {
        match self.what {
            Tale::Observed(event) => writer.push(self.at, *event),
            Tale::Command(actor, reason, wish) => {
                let command = wish(inventory, self.at).context("the demo's config has what its stories are about")?;
                let meta = Meta { reason: Some(reason.to_owned()), ..Meta::by(actor) };
                writer.decided(inventory, command, &meta, policy, self.at)
            }
            Tale::Woke(since) => {
                let for_ns = self.at.since(since).as_nanos();
                writer.push(self.at, HostSlept { for_ns: u64::try_from(for_ns).unwrap_or(u64::MAX) }.into())?;
                streams
                    .iter()
                    .filter_map(|stream| missed(stream, since, self.at))
                    .try_for_each(|event| writer.push(self.at, event.into()))
            }
        }
    }
}

fn missed(stream: &Stream, after: Timestamp, until: Timestamp) -> Option<SlotsMissed> {
    let before = Timestamp::from_millis(after.as_millis() - 1);
    let last = Timestamp::from_millis(until.as_millis() - 1);
    let run = stream.slots.between(stream.destination, stream.probe, before, last)?;
    Some(SlotsMissed {
        job: stream.job,
        destination: stream.destination,
        probe: stream.probe,
        first_slot_at: run.first,
        last_slot_at: run.last,
        count: u32::try_from(run.count).unwrap_or(u32::MAX),
        reason: MissReason::HostSlept,
    })
}

/// Gathers events and hands them to the journal.
struct Writer<'a> {
    core: &'a Core,
    batch: Vec<(Timestamp, Event)>,
    tickets: VecDeque<AppendTicket>,
    written: u64,
}

impl Writer<'_> {
    fn push(&mut self, recorded_at: Timestamp, event: Event) -> Result<()> {
        self.batch.push((recorded_at, event));
        if self.batch.len() < BATCH { Ok(()) } else { self.flush(UNDER_WAY) }
    }

    /// Decides as the product would, and keeps `inventory` up with it.
    fn decided(
        &mut self,
        inventory: &mut Inventory,
        command: Command,
        meta: &Meta,
        policy: &Policy,
        at: Timestamp,
    ) -> Result<()> {
        let events = decide(inventory, command, meta, policy).map_err(|no| anyhow!("{no}"))?;
        for event in events {
            let position = Position(self.written + self.batch.len() as u64 + 1);
            inventory.apply(&Envelope { position, recorded_at: at, event: event.clone() });
            self.push(at, event)?;
        }
        Ok(())
    }

    /// Submits what is gathered; then at most `most` submissions are under way.
    fn flush(&mut self, most: usize) -> Result<()> {
        if !self.batch.is_empty() {
            self.written += self.batch.len() as u64;
            let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
            self.tickets.push_back(self.core.journal.submit_recorded(batch));
        }
        while self.tickets.len() > most {
            self.tickets.pop_front().context("there are some")?.wait()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        self.flush(0)?;
        Ok(self.written)
    }
}
