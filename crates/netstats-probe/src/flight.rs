//! A burst under way: what became of each packet. Pure: every time is given, in nanoseconds of one clock.

use std::net::IpAddr;

use netstats_event::{ClockSource, Echo, HopAnswer, IcmpError, Rtt};

#[derive(Clone, Copy, Debug)]
struct Packet {
    /// Our clock before the send call.
    before: i64,
    /// The kernel's stamp of sending; 0: none.
    stamped: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Planned,
    Sent,
    Replied { at: i64, is_kernel: bool },
    Error { error: IcmpError, at: i64, is_kernel: bool },
    NotSent(i32),
}

/// What became of a burst's packets so far.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    packets: Vec<Packet>,
    open: usize,
    /// The largest index answered.
    answered: Option<u16>,
    pub(crate) ttl: Option<u8>,
    pub(crate) duplicates: u16,
    pub(crate) reordered: u16,
    pub(crate) bad_replies: u16,
}

impl Flight {
    pub(crate) fn new(packets: u16) -> Self {
        Self {
            packets: vec![Packet { before: 0, stamped: 0, state: State::Planned }; usize::from(packets)],
            open: usize::from(packets),
            answered: None,
            ttl: None,
            duplicates: 0,
            reordered: 0,
            bad_replies: 0,
        }
    }

    /// Handed to the system at `before`.
    pub(crate) fn sent(&mut self, index: u16, before: i64) {
        let packet = &mut self.packets[usize::from(index)];
        (packet.before, packet.state) = (before, State::Sent);
    }

    /// The kernel says when it left. A stamp from before it was handed over is not this packet's.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "of the Linux engine, which times with the kernel's stamps")
    )]
    pub(crate) fn stamped(&mut self, index: u16, at: i64) {
        if let Some(packet) = self.packets.get_mut(usize::from(index))
            && at >= packet.before
            && packet.stamped == 0
        {
            packet.stamped = at;
        }
    }

    /// The system refused it.
    pub(crate) fn not_sent(&mut self, index: u16, errno: i32) {
        self.settle(index, State::NotSent(errno));
    }

    /// A reply that is proved to be this packet's.
    pub(crate) fn replied(&mut self, index: u16, at: i64, is_kernel: bool, ttl: Option<u8>) {
        match self.packets.get(usize::from(index)).map(|packet| packet.state) {
            Some(State::Sent) => {
                self.settle(index, State::Replied { at, is_kernel });
                self.ttl = ttl.or(self.ttl);
                if self.answered.is_some_and(|last| index < last) {
                    self.reordered = self.reordered.saturating_add(1);
                }
                self.answered = self.answered.max(Some(index));
            }
            Some(State::Replied { .. }) => self.duplicates = self.duplicates.saturating_add(1),
            _ => self.bad(),
        }
    }

    /// An ICMP error about this packet. A reply that is there already wins; a reply that follows an error does not
    /// happen but by a router's mistake.
    pub(crate) fn errored(&mut self, index: u16, error: IcmpError, at: i64, is_kernel: bool) {
        if self.packets.get(usize::from(index)).is_some_and(|packet| packet.state == State::Sent) {
            self.settle(index, State::Error { error, at, is_kernel });
        }
    }

    /// Something that looked like ours and was not.
    pub(crate) fn bad(&mut self) {
        self.bad_replies = self.bad_replies.saturating_add(1);
    }

    /// True if no packet is waited for or still to be sent.
    pub(crate) const fn is_settled(&self) -> bool {
        self.open == 0
    }

    fn settle(&mut self, index: u16, state: State) {
        let packet = &mut self.packets[usize::from(index)];
        if matches!(packet.state, State::Planned | State::Sent) {
            self.open -= 1;
        }
        packet.state = state;
    }

    /// The result: one entry a packet, the worst clock, and whether a time came out that cannot be (a clock was
    /// stepped). A packet that was never handed over (the burst was cut) was not sent.
    pub(crate) fn echoes(&self, timeout_ns: i64, cut_errno: i32) -> (Vec<Echo>, ClockSource, bool) {
        let (mut clock, mut is_suspect) = (None, false);
        let echoes = self
            .packets
            .iter()
            .map(|packet| match packet.state {
                State::Planned => Echo::NotSent(cut_errno),
                State::NotSent(errno) => Echo::NotSent(errno),
                State::Sent => Echo::Lost,
                State::Error { error, .. } => Echo::Error(error),
                State::Replied { at, is_kernel } => {
                    let (span, source) = packet.span(at, is_kernel);
                    clock = clock.max(Some(source));
                    is_suspect |= span <= 0;
                    let rtt = Rtt::from_nanos(u64::try_from(span).unwrap_or(0));
                    if span > timeout_ns { Echo::Late(rtt) } else { Echo::Reply(rtt) }
                }
            })
            .collect();
        (echoes, clock.unwrap_or(ClockSource::Kernel), is_suspect)
    }

    /// What a trace saw: for each packet who answered, a router or the target itself.
    pub(crate) fn hops(&self, target: IpAddr) -> Vec<HopAnswer> {
        let answer = |packet: &Packet, at: i64, is_kernel: bool, from: IpAddr, icmp_type: u8, icmp_code: u8| {
            let rtt = Rtt::from_nanos(u64::try_from(packet.span(at, is_kernel).0).unwrap_or(0));
            HopAnswer::Answer { from, rtt, icmp_type, icmp_code }
        };
        self.packets
            .iter()
            .map(|packet| match packet.state {
                State::Replied { at, is_kernel } => {
                    answer(packet, at, is_kernel, target, if target.is_ipv6() { 129 } else { 0 }, 0)
                }
                State::Error { error: IcmpError { icmp_type, icmp_code, from: Some(from) }, at, is_kernel } => {
                    answer(packet, at, is_kernel, from, icmp_type, icmp_code)
                }
                State::NotSent(errno) => HopAnswer::NotSent(errno),
                State::Planned | State::Sent | State::Error { .. } => HopAnswer::Silent,
            })
            .collect()
    }

    /// The longest round trip so far, in nanoseconds.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "of the Linux engine, which times with the kernel's stamps")
    )]
    pub(crate) fn longest(&self) -> Option<i64> {
        self.spans().max()
    }

    /// The shortest round trip so far, in nanoseconds.
    pub(crate) fn shortest(&self) -> Option<i64> {
        self.spans().min()
    }

    fn spans(&self) -> impl Iterator<Item = i64> {
        self.packets.iter().filter_map(|packet| match packet.state {
            State::Replied { at, is_kernel } | State::Error { at, is_kernel, .. } => Some(packet.span(at, is_kernel).0),
            _ => None,
        })
    }
}

impl Packet {
    /// From sending to `at`, and by which clocks. Both ends by the kernel, or the kernel's receipt with our clock
    /// before the send: never a clock read after the send, which makes paths look faster than they are.
    const fn span(&self, at: i64, is_kernel: bool) -> (i64, ClockSource) {
        match (is_kernel, self.stamped) {
            (true, 0) => (at - self.before, ClockSource::KernelReceive),
            (true, stamped) => (at - stamped, ClockSource::Kernel),
            (false, _) => (at - self.before, ClockSource::User),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn each_packet_has_its_own_fate() {
        let mut flight = Flight::new(6);
        for index in 0..5 {
            flight.sent(index, i64::from(index) * 10 * MS);
        }
        flight.stamped(0, MS / 10);
        flight.replied(0, 2 * MS, true, Some(61));
        flight.replied(2, 25 * MS, true, None);
        flight.replied(1, 26 * MS, true, Some(62));
        flight.replied(1, 27 * MS, true, None);
        flight.replied(3, 2_000 * MS, true, None);
        flight.not_sent(5, 105);
        assert!(!flight.is_settled());
        let error = IcmpError { icmp_type: 3, icmp_code: 1, from: None };
        flight.errored(4, error, 50 * MS, true);
        flight.errored(0, error, 50 * MS, true);
        assert!(flight.is_settled());
        let (echoes, clock, is_suspect) = flight.echoes(1_000 * MS, 0);
        let expected = [
            Echo::Reply(Rtt::from_micros(1_900)),
            Echo::Reply(Rtt::from_micros(16_000)),
            Echo::Reply(Rtt::from_micros(5_000)),
            Echo::Late(Rtt::from_micros(1_970_000)),
            Echo::Error(error),
            Echo::NotSent(105),
        ];
        assert_eq!(echoes, expected);
        assert_eq!((clock, is_suspect), (ClockSource::KernelReceive, false), "the worst clock of the burst");
        assert_eq!((flight.duplicates, flight.reordered, flight.bad_replies, flight.ttl), (1, 1, 0, Some(62)));
    }

    #[test]
    fn no_answer_is_lost_and_a_cut_burst_is_not() {
        let mut flight = Flight::new(2);
        flight.sent(0, 5);
        let (echoes, ..) = flight.echoes(MS, 4);
        assert_eq!(echoes, [Echo::Lost, Echo::NotSent(4)]);
    }

    #[test]
    fn a_reply_before_its_request_is_a_stepped_clock() {
        let mut flight = Flight::new(1);
        flight.sent(0, 10 * MS);
        flight.replied(0, 9 * MS, true, None);
        let (echoes, _, is_suspect) = flight.echoes(MS, 0);
        assert_eq!(echoes, [Echo::Reply(Rtt::from_micros(1))]);
        assert!(is_suspect);
    }

    #[test]
    fn a_reply_to_a_packet_that_was_not_sent_is_bad() {
        let mut flight = Flight::new(1);
        flight.replied(0, 1, true, None);
        flight.replied(9, 1, true, None);
        assert_eq!(flight.bad_replies, 2);
    }
}
