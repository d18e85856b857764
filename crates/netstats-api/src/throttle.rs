//! Guessing passwords is slow: after a few failures each further try of a name, and each from an address, waits longer.
//! Never for ever, and never for everybody: nobody can lock others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netstats_event::Timestamp;

use crate::limits::{FREE_FAILURES, LONGEST_WAIT, MAX_THROTTLED};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Failures of late.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<Key, Failures>>);

fn keys(name: &str, address: IpAddr) -> [Key; 2] {
    [Key::Name(name.to_lowercase().chars().take(128).collect()), Key::Address(address)]
}

/// 1 s after the free ones, then twice as long each time.
fn wait_after(count: u32) -> Duration {
    match count.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(over) => Duration::from_secs(1 << over.min(20)).min(LONGEST_WAIT),
    }
}

impl Throttle {
    /// How long until a try counts; none if it counts now.
    pub(crate) fn wait(&self, name: &str, address: IpAddr, now: Timestamp) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |key: &Key| {
            let failed = failures.get(key)?;
            wait_after(failed.count).checked_sub(now.since(failed.last)).filter(|wait| !wait.is_zero())
        };
        keys(name, address).iter().filter_map(wait).max()
    }

    /// A try failed.
    pub(crate) fn failed(&self, name: &str, address: IpAddr, now: Timestamp) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A while after the longest wait everything is forgotten; were there still too many, the oldest go.
        failures.retain(|_, failed| now.since(failed.last) < LONGEST_WAIT * 4);
        while failures.len() + 2 > MAX_THROTTLED {
            let Some(oldest) = failures.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone()) else { break };
            failures.remove(&oldest);
        }
        for key in keys(name, address) {
            let failed = failures.entry(key).or_insert(Failures { count: 0, last: now });
            *failed = Failures { count: failed.count.saturating_add(1), last: now };
        }
    }

    /// A try succeeded: the name and the address are free again.
    pub(crate) fn succeeded(&self, name: &str, address: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(name, address) {
            failures.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_failure_past_the_free_ones_waits_twice_as_long_and_never_for_ever() {
        let throttle = Throttle::default();
        let mut now = Timestamp::from_secs(1_000_000);
        for _ in 0..FREE_FAILURES {
            assert_eq!(throttle.wait("ada", HERE, now), None);
            throttle.failed("ada", HERE, now);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = throttle.wait("Ada", HERE, now).unwrap();
            waits.push(wait.as_secs());
            now = now.plus(wait);
            assert_eq!(throttle.wait("ada", HERE, now), None, "after the wait a try counts");
            throttle.failed("ada", HERE, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(throttle.wait("bob", other, now), None, "others are not locked out");
        throttle.succeeded("ada", HERE);
        assert_eq!(throttle.wait("ada", HERE, now), None);
    }

    #[test]
    fn past_the_most_kept_the_oldest_failures_are_forgotten() {
        let throttle = Throttle::default();
        let now = Timestamp::from_secs(1_000_000);
        for i in 0..MAX_THROTTLED as u64 {
            throttle.failed(&format!("user {i}"), HERE, now.plus(Duration::from_millis(i)));
        }
        let kept = throttle.0.lock().unwrap();
        assert!(kept.len() <= MAX_THROTTLED);
        assert!(!kept.contains_key(&Key::Name("user 0".to_owned())));
    }
}
