//! How much may still be sent: one bucket of packets for all, and one for each host. They hold a minute's worth, so that
//! a burst passes and a flood does not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use netstats_event::{ProbeKind, ProbeOptions};
use netstats_inventory::Rates;

use crate::limits::{MAX_METERED, RATE_OVER};

/// The rates as they are now.
pub type RatesHook = Arc<dyn Fn() -> Rates + Send + Sync>;

/// Counts packets against the rates. Shared by whoever sends for others.
pub struct Meter {
    rates: RatesHook,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: Option<Bucket>,
    hosts: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("rates", &(self.rates)()).finish_non_exhaustive()
    }
}

impl Bucket {
    fn filled(rate: u32, at: Instant) -> Self {
        Self { left: capacity(rate), at }
    }

    /// What it holds by now.
    fn now(mut self, rate: u32, now: Instant) -> Self {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate);
        self.left = (self.left + gained).min(capacity(rate));
        self.at = self.at.max(now);
        self
    }
}

fn capacity(rate: u32) -> f64 {
    f64::from(rate) * RATE_OVER.as_secs_f64()
}

impl Meter {
    /// With these rates.
    #[must_use]
    pub fn new(rates: RatesHook) -> Self {
        Self { rates, buckets: Mutex::default() }
    }

    /// Takes what a run of `probe` to `host` sends.
    ///
    /// # Errors
    /// Which limit it would pass, in words; then nothing is taken.
    pub fn take(&self, host: &str, probe: ProbeKind, options: &ProbeOptions, now: Instant) -> Result<(), String> {
        let rates = (self.rates)();
        let packets = f64::from(packets(probe, options));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket::filled(rates.packets_per_s, now);
        let all = buckets.all.unwrap_or(full).now(rates.packets_per_s, now);
        let of_host = rates.target_packets_per_s;
        if buckets.hosts.len() >= MAX_METERED && !buckets.hosts.contains_key(host) {
            buckets.hosts.retain(|_, bucket| bucket.now(of_host, now).left < capacity(of_host));
            if buckets.hosts.len() >= MAX_METERED {
                return Err(format!("more than {MAX_METERED} hosts were sent to within a minute"));
            }
        }
        let bucket = buckets.hosts.get(host).copied().unwrap_or(Bucket::filled(of_host, now)).now(of_host, now);
        // What a single run needs is never out of reach, only out of turn.
        let is_short = |bucket: Bucket, rate: u32| bucket.left < packets.min(capacity(rate));
        if is_short(all, rates.packets_per_s) {
            return Err(format!(
                "all probes together send at most {} packets a second (limits.packets_per_s)",
                rates.packets_per_s
            ));
        }
        if is_short(bucket, of_host) {
            return Err(format!("one host is sent at most {of_host} packets a second (limits.target_packets_per_s)"));
        }
        buckets.all = Some(Bucket { left: all.left - packets, ..all });
        buckets.hosts.insert(host.to_owned(), Bucket { left: bucket.left - packets, ..bucket });
        Ok(())
    }
}

/// Packets that a run sends at most, by its options; exchanges over TCP as a handful. What a bandwidth test moves has
/// budgets of its own.
fn packets(probe: ProbeKind, options: &ProbeOptions) -> u32 {
    match probe {
        ProbeKind::Ping => options.ping.packets.into(),
        ProbeKind::Traceroute => u32::from(options.traceroute.max_hops) * u32::from(options.traceroute.probes_per_hop),
        ProbeKind::Dns => u32::try_from(options.dns.record_types.len()).unwrap_or(u32::MAX).saturating_mul(2),
        ProbeKind::Tcp => 3,
        ProbeKind::Http => 8 * (u32::from(options.http.max_redirects) + 1),
        ProbeKind::Bandwidth => 10,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn meter(packets_per_s: u32, target_packets_per_s: u32) -> Meter {
        Meter::new(Arc::new(move || Rates { packets_per_s, target_packets_per_s }))
    }

    fn pings(meter: &Meter, host: &str, at: Instant) -> Result<(), String> {
        meter.take(host, ProbeKind::Ping, &ProbeOptions::default(), at)
    }

    #[test]
    fn one_host_gets_its_share_and_no_more() {
        let (meter, start) = (meter(1_000, 1), crate::run::now());
        // A minute's worth: six bursts of ten.
        for _ in 0..6 {
            pings(&meter, "a", start).unwrap();
        }
        assert!(pings(&meter, "a", start).unwrap_err().contains("limits.target_packets_per_s"));
        pings(&meter, "b", start).expect("another host has a share of its own");
        assert!(pings(&meter, "a", start + Duration::from_secs(9)).is_err());
        pings(&meter, "a", start + Duration::from_secs(10)).expect("ten seconds are ten packets");
    }

    #[test]
    fn all_together_get_no_more_than_all_may() {
        let (meter, start) = (meter(1, 1_000), crate::run::now());
        for host in ["a", "b", "c", "d", "e", "f"] {
            pings(&meter, host, start).unwrap();
        }
        assert!(pings(&meter, "g", start).unwrap_err().contains("limits.packets_per_s"));
        pings(&meter, "g", start + Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_run_larger_than_a_minutes_worth_takes_it_all() {
        let (meter, start) = (meter(1_000, 1), crate::run::now());
        let trace = |at| meter.take("a", ProbeKind::Traceroute, &ProbeOptions::default(), at);
        trace(start).expect("90 packets at 1 a second: once");
        assert!(trace(start + Duration::from_secs(60)).is_err(), "what it took too much is owed");
        trace(start + Duration::from_secs(90)).unwrap();
    }

    #[test]
    fn hosts_past_the_limit_are_refused_until_some_are_forgotten() {
        let (meter, start) = (meter(u32::MAX, 50), crate::run::now());
        for i in 0..MAX_METERED {
            pings(&meter, &i.to_string(), start).unwrap();
        }
        assert!(pings(&meter, "one more", start).unwrap_err().contains("hosts"));
        pings(&meter, "one more", start + RATE_OVER).unwrap();
    }
}
