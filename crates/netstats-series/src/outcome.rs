//! One event, as the fold sees it: which slot ended how, and which times it brought.

use netstats_event::{
    DnsFailure, DnsOutcome, Echo, Event, HopAnswer, HttpOutcome, PingMeasured, ProbeKind, RouteTraced, SampleHead,
    TcpOutcome,
};

use crate::RowStatus;

/// What an outcome says of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    /// Nothing: it failed on our side, or our own network was down.
    Unknown = 0,
    /// All came back.
    Good = 1,
    /// It answered, but something was lost, late or not as expected.
    Poor = 2,
    /// Nothing came back, to fewer packets than it takes to be sure.
    Bad = 3,
    /// Nothing came back, to [`SURE_PACKETS`] packets or more.
    Dead = 4,
}

impl Verdict {
    /// The verdict of that number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Good, Self::Poor, Self::Bad, Self::Dead].get(usize::from(code)).copied()
    }
}

/// Packets of one burst whose silence is not chance.
pub(crate) const SURE_PACKETS: u32 = 3;

/// What the fold keeps of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) head: SampleHead,
    pub(crate) probe: ProbeKind,
    pub(crate) status: RowStatus,
    pub(crate) verdict: Verdict,
    /// A sample, not a failed slot.
    pub(crate) is_sample: bool,
    /// The times can be averaged: no clock was stepped under them.
    pub(crate) has_sure_times: bool,
    /// Packets that left (pings), 1 (others).
    pub(crate) sent: u32,
    /// Packets answered, in time or late (pings); 1 if it got what it asked for (others).
    pub(crate) received: u32,
    pub(crate) late: u32,
    /// Neighbours that both came back in time, and the sum of their |IPDV| in microseconds.
    pub(crate) ipdv: (u32, u64),
}

impl Outcome {
    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self.verdict, Verdict::Unknown)
    }
}

/// Counts of a ping burst.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u32,
    pub(crate) in_time: u32,
    pub(crate) late: u32,
    pub(crate) lost: u32,
    pub(crate) not_sent: u32,
    pub(crate) errors: u32,
    /// Of the errors, those by which somebody forbade it.
    pub(crate) forbidden: u32,
}

impl Counts {
    /// Counts a burst, and hands each time of the answers that came in time to `each`, with that of the packet before if
    /// that came back in time too: all that the fold needs in one pass.
    pub(crate) fn of(ping: &PingMeasured, mut each: impl FnMut(u32, Option<u32>)) -> Self {
        let mut counts = Self::default();
        let mut before = None;
        for echo in &ping.echoes {
            let mut in_time = None;
            match echo {
                Echo::Reply(rtt) => {
                    counts.in_time += 1;
                    each(rtt.as_micros(), before);
                    in_time = Some(rtt.as_micros());
                }
                Echo::Late(_) => counts.late += 1,
                Echo::Lost => counts.lost += 1,
                Echo::NotSent(_) => counts.not_sent += 1,
                Echo::Error(error) => {
                    counts.errors += 1;
                    // Administratively prohibited: RFC 792 and 1812 (type 3), RFC 4443 (type 1).
                    let forbids = matches!((error.icmp_type, error.icmp_code), (3, 9 | 10 | 13) | (1, 1 | 5 | 6));
                    counts.forbidden += u32::from(forbids);
                }
            }
            before = in_time;
        }
        counts.sent = counts.in_time + counts.late + counts.lost + counts.errors;
        counts
    }

    /// Answered at all: a late answer is no loss.
    pub(crate) const fn received(&self) -> u32 {
        self.in_time + self.late
    }

    pub(crate) const fn status(&self, head: &SampleHead) -> RowStatus {
        if head.flags.uplink_down {
            RowStatus::Unknown
        } else if self.sent == 0 {
            RowStatus::Error
        } else if self.in_time == self.sent {
            RowStatus::Success
        } else if self.in_time > 0 {
            RowStatus::Partial
        } else if self.errors == 0 || self.late > 0 {
            RowStatus::Timeout
        } else if self.forbidden == self.errors {
            RowStatus::Refused
        } else {
            RowStatus::Unreachable
        }
    }
}

/// The round trips to the destination itself, where a trace reached it.
pub(crate) fn last_hop_times(route: &RouteTraced) -> impl Iterator<Item = u32> + '_ {
    let last = route.hops.last().filter(|_| route.reached);
    last.into_iter().flat_map(|hop| &hop.answers).filter_map(|answer| match answer {
        HopAnswer::Answer { rtt, .. } => Some(rtt.as_micros()),
        HopAnswer::Silent | HopAnswer::NotSent(_) => None,
    })
}

/// How a single probe ended, and after how long if it got what it asked for.
type Single = (RowStatus, Verdict, Option<u32>);

pub(crate) fn route_status(route: &RouteTraced) -> RowStatus {
    let somebody = route.hops.iter().flat_map(|hop| &hop.answers).any(|a| matches!(a, HopAnswer::Answer { .. }));
    let left = route.hops.iter().flat_map(|hop| &hop.answers).any(|a| !matches!(a, HopAnswer::NotSent(_)));
    match (route.reached, somebody, left) {
        (true, ..) => RowStatus::Success,
        (_, true, _) => RowStatus::Partial,
        (.., true) => RowStatus::Timeout,
        _ => RowStatus::Error,
    }
}

pub(crate) fn dns(outcome: &DnsOutcome, is_expected: bool) -> Single {
    match outcome {
        DnsOutcome::Response { rtt, .. } if is_expected => (RowStatus::Success, Verdict::Good, Some(rtt.as_micros())),
        DnsOutcome::Response { rtt, .. } => (RowStatus::Error, Verdict::Poor, Some(rtt.as_micros())),
        // What was expected to fail and did.
        DnsOutcome::Failure(_) if is_expected => (RowStatus::Success, Verdict::Good, None),
        DnsOutcome::Failure(DnsFailure::Timeout) => (RowStatus::Timeout, Verdict::Bad, None),
        DnsOutcome::Failure(DnsFailure::Refused) => (RowStatus::Refused, Verdict::Bad, None),
        DnsOutcome::Failure(DnsFailure::Malformed | DnsFailure::Secure) => (RowStatus::Error, Verdict::Bad, None),
        DnsOutcome::Failure(DnsFailure::Local(_)) => (RowStatus::Error, Verdict::Unknown, None),
    }
}

pub(crate) const fn tcp(outcome: &TcpOutcome) -> Single {
    match outcome {
        TcpOutcome::Connected(rtt) => (RowStatus::Success, Verdict::Good, Some(rtt.as_micros())),
        TcpOutcome::Refused(_) => (RowStatus::Refused, Verdict::Bad, None),
        TcpOutcome::Timeout => (RowStatus::Timeout, Verdict::Bad, None),
        TcpOutcome::Unreachable(_) => (RowStatus::Unreachable, Verdict::Bad, None),
        TcpOutcome::Local(_) => (RowStatus::Error, Verdict::Unknown, None),
    }
}

pub(crate) fn http(outcome: &HttpOutcome, total: Option<u32>) -> Single {
    match outcome {
        HttpOutcome::Expected(_) => (RowStatus::Success, Verdict::Good, total),
        HttpOutcome::UnexpectedStatus(_) | HttpOutcome::UnexpectedBody(_) => (RowStatus::Error, Verdict::Poor, total),
        HttpOutcome::NameNotResolved(_) | HttpOutcome::Tls(_) | HttpOutcome::Protocol(_) => {
            (RowStatus::Error, Verdict::Bad, None)
        }
        HttpOutcome::Refused => (RowStatus::Refused, Verdict::Bad, None),
        HttpOutcome::Timeout(_) => (RowStatus::Timeout, Verdict::Bad, None),
        HttpOutcome::Unreachable(_) => (RowStatus::Unreachable, Verdict::Bad, None),
        HttpOutcome::Local(_) => (RowStatus::Error, Verdict::Unknown, None),
    }
}

/// Whether a single probe got what it asked for; none of what a burst of packets, a trace or a bandwidth test is, of a
/// slot that failed on our side, and where nothing was learnt.
#[must_use]
pub fn answered(event: &Event) -> Option<bool> {
    let outcome = outcome_of(event, &mut Vec::new())?;
    let is_check = matches!(outcome.probe, ProbeKind::Dns | ProbeKind::Tcp | ProbeKind::Http);
    (is_check && outcome.is_sample && outcome.is_known()).then_some(outcome.received > 0)
}

/// The outcome in an event, if it is one; its times, ascending, go into `times`.
pub(crate) fn outcome_of(event: &Event, times: &mut Vec<u32>) -> Option<Outcome> {
    times.clear();
    let (head, probe) = (*event.head()?, event.probe()?);
    let mut outcome = Outcome {
        head,
        probe,
        status: RowStatus::Error,
        verdict: Verdict::Unknown,
        is_sample: true,
        has_sure_times: !head.flags.clock_suspect,
        sent: 1,
        received: 0,
        late: 0,
        ipdv: (0, 0),
    };
    let mut single = |(status, verdict, time): Single| {
        times.extend(time);
        (outcome.status, outcome.verdict) = (status, verdict);
        outcome.received = u32::from(status == RowStatus::Success);
    };
    match event {
        Event::PingMeasured(ping) => {
            let ipdv = &mut outcome.ipdv;
            let counts = Counts::of(ping, |time, before| {
                times.push(time);
                if let Some(before) = before {
                    *ipdv = (ipdv.0 + 1, ipdv.1 + u64::from(time.abs_diff(before)));
                }
            });
            times.sort_unstable();
            outcome.status = counts.status(&head);
            outcome.verdict = match (counts.sent, counts.in_time, counts.received()) {
                (0, ..) => Verdict::Unknown,
                (sent, in_time, _) if in_time == sent => Verdict::Good,
                (sent, _, 0) => {
                    if sent >= SURE_PACKETS {
                        Verdict::Dead
                    } else {
                        Verdict::Bad
                    }
                }
                _ => Verdict::Poor,
            };
            (outcome.sent, outcome.received, outcome.late) = (counts.sent, counts.received(), counts.late);
        }
        Event::RouteTraced(route) => {
            let status = route_status(route);
            single((status, if status == RowStatus::Error { Verdict::Unknown } else { Verdict::Good }, None));
            times.extend(last_hop_times(route));
            times.sort_unstable();
        }
        Event::NameResolved(lookup) => single(dns(&lookup.outcome, lookup.is_expected)),
        Event::TcpMeasured(connection) => single(tcp(&connection.outcome)),
        Event::HttpMeasured(request) => single(http(&request.outcome, request.total.map(|rtt| rtt.as_micros()))),
        Event::BandwidthMeasured(run) => {
            let status = match (&run.failure, run.down.is_some() || run.up.is_some()) {
                (None, true) => RowStatus::Success,
                (Some(_), true) => RowStatus::Partial,
                _ => RowStatus::Error,
            };
            single((status, Verdict::Good, None));
        }
        Event::SlotFailed(_) => outcome.is_sample = false,
        Event::Summarised(left) => {
            outcome.status = *RowStatus::ALL.get(usize::from(left.status))?;
            outcome.verdict = Verdict::from_code(left.verdict)?;
            (outcome.sent, outcome.received, outcome.late) = (left.sent, left.received, left.late);
            outcome.ipdv = (left.pairs, left.ipdv_us);
        }
        _ => return None,
    }
    if head.flags.uplink_down {
        (outcome.status, outcome.verdict) = (RowStatus::Unknown, Verdict::Unknown);
    }
    Some(outcome)
}

/// The median of an outcome whose times, ascending, are these: what retention has summarised still knows its own.
pub(crate) fn median_of(event: &Event, times: &[u32]) -> Option<u32> {
    match event {
        Event::Summarised(left) => left.median_us,
        _ => median(times),
    }
}

/// The median of ascending times; between two, their mean, rounded up.
pub(crate) fn median(times: &[u32]) -> Option<u32> {
    let (low, high) = (*times.get(times.len().checked_sub(1)? / 2)?, *times.get(times.len() / 2)?);
    Some(low + (high - low).div_ceil(2))
}
