//! The link: frames from one end to the other, later, lost, twice or damaged, as told. The fate of a packet is a
//! function of seed, direction and number, so that the same seed does the same again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{PLACE, net};
use crate::platform::PacketSocket;

const SPEC: &str = "link";
const APPLIED: &str = "link.applied";
const STATS: &str = "link.stats";
/// How often the link looks for new orders, and how long one who gives them waits at most.
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Way {
    delay_us: u32,
    jitter_us: u32,
    loss_ppm: u32,
    duplicate_ppm: u32,
    corrupt_ppm: u32,
}

/// Both ways, and the shaper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spec {
    ways: [Way; 2],
    seed: u64,
    rate_mbit: u32,
}

impl Spec {
    fn parse<'a>(settings: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut spec = Self::default();
        for setting in settings {
            let (key, value) = setting.split_once('=').with_context(|| format!("{setting:?} is not KEY=VALUE"))?;
            let number: u64 = value.parse().with_context(|| format!("{value:?} is no whole number"))?;
            let small = u32::try_from(number)?;
            let (way, key) = key.strip_prefix("back_").map_or((0, key), |key| (1, key));
            let way = &mut spec.ways[way];
            match key {
                "delay_us" => way.delay_us = small,
                "jitter_us" => way.jitter_us = small,
                "loss_ppm" => way.loss_ppm = small,
                "duplicate_ppm" => way.duplicate_ppm = small,
                "corrupt_ppm" => way.corrupt_ppm = small,
                "seed" => spec.seed = number,
                "rate_mbit" => spec.rate_mbit = small,
                _ => bail!("a link has no {key}"),
            }
        }
        Ok(spec)
    }
}

/// What happened to packets one way.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: u64,
    lost: u64,
    duplicated: u64,
    corrupted: u64,
}

/// What both directions share.
#[derive(Default)]
struct Shared {
    spec: Mutex<(Spec, [Counts; 2])>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Spec, [Counts; 2])> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the link's process and waits until it carries.
pub(super) fn start() -> Result<()> {
    net::start("link", &["carry", "to-r3", "to-target"], "link")?;
    set(&[])
}

/// Gives orders and waits until they are followed.
pub(super) fn set(settings: &[&str]) -> Result<()> {
    let spec = Spec::parse(settings.iter().copied())?;
    net::shape(spec.rate_mbit)?;
    order(&settings.join(" "))
}

fn order(text: &str) -> Result<()> {
    let (file, applied) = (format!("{PLACE}/{SPEC}"), format!("{PLACE}/{APPLIED}"));
    let _ = fs::remove_file(&applied);
    fs::write(&file, text)?;
    let end = now() + PATIENCE;
    while fs::read_to_string(&applied).ok().as_deref() != Some(text) {
        if now() > end {
            bail!("the link does not follow: see {PLACE}/link.log");
        }
        thread::park_timeout(LOOK);
    }
    Ok(())
}

/// The link's process.
pub(super) fn carry(a: &str, b: &str) -> Result<()> {
    let (a, b) = (Arc::new(PacketSocket::open(a)?), Arc::new(PacketSocket::open(b)?));
    let shared = Arc::new(Shared::default());
    for (from, to, way) in [(Arc::clone(&a), Arc::clone(&b), 0), (b, a, 1)] {
        let (send, queue) = channel();
        let shared = Arc::clone(&shared);
        thread::spawn(move || receive(&from, way, &shared, &send));
        thread::spawn(move || deliver(&to, &queue));
    }
    let mut last = None;
    loop {
        if let Ok(text) = fs::read_to_string(format!("{PLACE}/{SPEC}"))
            && (last.as_ref() != Some(&text) || !fs::exists(format!("{PLACE}/{APPLIED}"))?)
        {
            *shared.lock() = (Spec::parse(text.split_whitespace())?, [Counts::default(); 2]);
            fs::write(format!("{PLACE}/{APPLIED}"), &text)?;
            last = Some(text);
        }
        let lines = shared.lock().1.map(|counts| {
            let Counts { packets, lost, duplicated, corrupted } = counts;
            format!("{packets} {lost} {duplicated} {corrupted}\n")
        });
        fs::write(format!("{PLACE}/{STATS}"), lines.concat())?;
        thread::park_timeout(LOOK);
    }
}

/// A frame and when it is due; the number keeps the order of equals.
type Due = Reverse<(Instant, u64, Vec<u8>)>;

fn receive(from: &PacketSocket, way: usize, shared: &Shared, queue: &Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.receive(&mut buffer) {
        let at = now();
        let frame = buffer[..count].to_vec();
        if !is_payload(&frame) {
            if queue.send((at, frame)).is_err() {
                return;
            }
            continue;
        }
        let mut state = shared.lock();
        let (spec, counts) = &mut *state;
        let (rules, counts) = (spec.ways[way], &mut counts[way]);
        let number = counts.packets;
        counts.packets += 1;
        let roll = |what: u64| mix(spec.seed ^ (way as u64) << 56 ^ what << 48 ^ number);
        let happens = |what: u64, ppm: u32| roll(what) % 1_000_000 < u64::from(ppm);
        if happens(1, rules.loss_ppm) {
            counts.lost += 1;
            continue;
        }
        let jitter = if rules.jitter_us == 0 { 0 } else { roll(2) % (2 * u64::from(rules.jitter_us) + 1) };
        let delay = (u64::from(rules.delay_us) + jitter).saturating_sub(rules.jitter_us.into());
        let due = at + Duration::from_micros(delay);
        let mut copies = vec![frame];
        if happens(3, rules.corrupt_ppm) {
            counts.corrupted += 1;
            // Behind every header: what a checksum must notice.
            if let Some(byte) = copies[0].last_mut() {
                *byte ^= 0x55;
            }
        }
        if happens(4, rules.duplicate_ppm) {
            counts.duplicated += 1;
            copies.push(copies[0].clone());
        }
        drop(state);
        if copies.into_iter().any(|copy| queue.send((due, copy)).is_err()) {
            return;
        }
    }
}

/// IP but for neighbour discovery: without it there is no network to be measured.
fn is_payload(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => true,
        Some([0x86, 0xdd]) => !(frame.get(20) == Some(&58) && matches!(frame.get(54), Some(130..=143))),
        _ => false,
    }
}

fn deliver(to: &PacketSocket, queue: &Receiver<(Instant, Vec<u8>)>) {
    let mut waiting: BinaryHeap<Due> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let next = waiting.peek().map(|Reverse((due, ..))| due.saturating_duration_since(now()));
        let arrived = match next {
            Some(wait) if wait.is_zero() => {
                if let Some(Reverse((_, _, frame))) = waiting.pop() {
                    let _ = to.send(&frame);
                }
                queue.try_recv().ok()
            }
            Some(wait) => match queue.recv_timeout(wait) {
                Ok(arrived) => Some(arrived),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            None => match queue.recv() {
                Ok(arrived) => Some(arrived),
                Err(_) => return,
            },
        };
        if let Some((due, frame)) = arrived {
            number += 1;
            waiting.push(Reverse((due, number, frame)));
        }
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): the nth number without the ones before.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[expect(clippy::disallowed_methods, reason = "a link keeps time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_or_refused() {
        let spec = Spec::parse(["delay_us=5", "back_loss_ppm=7", "seed=9", "rate_mbit=50"]).unwrap();
        assert_eq!((spec.ways[0].delay_us, spec.ways[1].loss_ppm, spec.seed, spec.rate_mbit), (5, 7, 9, 50));
        assert_eq!(Spec::parse([]).unwrap(), Spec::default());
        for bad in ["delay_us", "delay_us=x", "delay=5", "loss_ppm=-1"] {
            assert!(Spec::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fates_of_packets_are_as_often_as_told_and_the_same_again() {
        let lost = |seed: u64| (0..100_000).filter(|n| mix(seed ^ 1 << 48 ^ n) % 1_000_000 < 50_000).count();
        assert!((4_700..5_300).contains(&lost(1)), "{}", lost(1));
        assert_eq!(lost(7), lost(7));
    }

    #[test]
    fn neighbour_discovery_always_passes() {
        let mut frame = vec![0; 80];
        frame[12..14].copy_from_slice(&[0x08, 0x06]);
        assert!(!is_payload(&frame), "ARP");
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        (frame[20], frame[54]) = (58, 135);
        assert!(!is_payload(&frame));
        frame[54] = 128;
        assert!(is_payload(&frame), "an echo request");
        assert!(!is_payload(&[0; 5]));
    }
}
