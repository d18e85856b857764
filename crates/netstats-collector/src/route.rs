//! When a route is another one: a change counts once a second trace has seen it too.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netstats_event::{HopAnswer, PathChanged, RouteTraced};

use crate::schedule::Key;

/// Who answers at each hop, sorted; a silent hop has nobody.
type Path = Vec<Vec<IpAddr>>;

/// The routes of all traces, as last confirmed.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: BTreeMap<Key, Known>,
}

#[derive(Debug)]
struct Known {
    path: Path,
    /// Another one, seen once.
    doubted: Option<Path>,
}

impl Routes {
    /// Takes a trace in; a change, if this trace confirms one. Traces that did not reach the end say nothing: what is
    /// missing of them may be silence.
    pub(crate) fn take(&mut self, key: Key, route: &RouteTraced) -> Option<PathChanged> {
        let path = path_of(route);
        if !route.reached || route.head.flags.uplink_down || path.is_empty() {
            return None;
        }
        let Some(known) = self.known.get_mut(&key) else {
            self.known.insert(key, Known { path, doubted: None });
            return None;
        };
        if is_same(&known.path, &path) {
            known.doubted = None;
            learn(&mut known.path, &path);
            return None;
        }
        match known.doubted.take() {
            Some(doubted) if is_same(&doubted, &path) => {
                let mut after = doubted;
                learn(&mut after, &path);
                let before = std::mem::replace(&mut known.path, after.clone());
                Some(PathChanged { job: key.job, destination: key.destination, before, after })
            }
            _ => {
                known.doubted = Some(path);
                None
            }
        }
    }

    /// Forgets what is not planned any more.
    pub(crate) fn keep(&mut self, mut is_planned: impl FnMut(&Key) -> bool) {
        self.known.retain(|key, _| is_planned(key));
    }
}

fn path_of(route: &RouteTraced) -> Path {
    let from = |answer: &HopAnswer| match answer {
        HopAnswer::Answer { from, .. } => Some(*from),
        HopAnswer::Silent | HopAnswer::NotSent(_) => None,
    };
    let hop = |answers: &[HopAnswer]| {
        let mut addresses: Vec<IpAddr> = answers.iter().filter_map(from).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    route.hops.iter().map(|hop_seen| hop(&hop_seen.answers)).collect()
}

/// The same length, and at each hop somebody in common, or silence on one side.
fn is_same(a: &Path, b: &Path) -> bool {
    let is_one = |(a, b): (&Vec<IpAddr>, &Vec<IpAddr>)| {
        a.is_empty() || b.is_empty() || a.iter().any(|address| b.contains(address))
    };
    a.len() == b.len() && a.iter().zip(b).all(is_one)
}

/// Fills silent hops in with who answered now.
fn learn(path: &mut Path, seen: &Path) {
    for (hop, seen) in path.iter_mut().zip(seen) {
        if hop.is_empty() {
            hop.clone_from(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use netstats_event::{ClockSource, DestinationId, Hop, JobId, ProbeKind, Rtt, SampleFlags, TracerouteProtocol};
    use netstats_probe::Outcome;

    use super::*;

    const KEY: Key = Key { job: JobId(1), destination: DestinationId(2), probe: ProbeKind::Traceroute };

    /// 0 is a silent hop.
    fn route(hops: &[u8]) -> RouteTraced {
        let answer = |last: u8| match last {
            0 => HopAnswer::Silent,
            last => HopAnswer::Answer {
                from: [192, 0, 2, last].into(),
                rtt: Rtt::from_micros(5),
                icmp_type: 11,
                icmp_code: 0,
            },
        };
        RouteTraced {
            head: Outcome::BLANK,
            address: [192, 0, 2, 9].into(),
            protocol: TracerouteProtocol::Icmp,
            clock: ClockSource::Kernel,
            hops: (1..)
                .zip(hops)
                .map(|(ttl, last)| Hop { ttl, answers: vec![answer(*last); 3], ..Hop::default() })
                .collect(),
            reached: true,
            duration_us: 1,
        }
    }

    #[test]
    fn a_change_is_one_when_a_second_trace_confirms_it() {
        let mut routes = Routes::default();
        assert_eq!(routes.take(KEY, &route(&[1, 2, 9])), None);
        assert_eq!(routes.take(KEY, &route(&[1, 3, 9])), None, "seen once");
        assert_eq!(routes.take(KEY, &route(&[1, 2, 9])), None, "and gone");
        assert_eq!(routes.take(KEY, &route(&[1, 3, 9])), None, "seen once again");
        let change = routes.take(KEY, &route(&[1, 3, 9])).expect("twice in a row");
        assert_eq!((change.before[1][0], change.after[1][0]), ([192, 0, 2, 2].into(), [192, 0, 2, 3].into()));
        assert_eq!(routes.take(KEY, &route(&[1, 3, 9])), None, "told once");
        assert_eq!(routes.take(KEY, &route(&[1, 9])), None);
        assert!(routes.take(KEY, &route(&[1, 9])).is_some(), "shorter is another");
    }

    #[test]
    fn silence_changes_nothing() {
        let mut routes = Routes::default();
        for path in [&[1, 0, 9], &[1, 2, 9], &[0, 2, 9], &[1, 0, 9]] {
            assert_eq!(routes.take(KEY, &route(path)), None);
            assert_eq!(routes.take(KEY, &route(path)), None);
        }
        let unreached = RouteTraced { reached: false, ..route(&[1, 3]) };
        assert_eq!(routes.take(KEY, &unreached), None);
        assert_eq!(routes.take(KEY, &unreached), None, "what did not arrive says nothing");
        let mut down = route(&[1, 3, 9]);
        down.head.flags = SampleFlags { uplink_down: true, ..SampleFlags::default() };
        assert_eq!((routes.take(KEY, &down), routes.take(KEY, &down)), (None, None));
        assert_eq!(routes.take(KEY, &route(&[1, 3, 9])), None);
        assert!(routes.take(KEY, &route(&[1, 3, 9])).is_some(), "what silence hid was learnt: 2");
        routes.keep(|_| false);
        assert_eq!(routes.take(KEY, &route(&[7])), None, "a new plan begins anew");
    }
}
