//! What the demo's destinations do. Everything is a function of the seed, the destination and the moment, so that
//! history and present fit together and two demos of one seed agree.

use std::net::IpAddr;
use std::time::Duration;

use netstats_event::{
    AnswerRecord, BandwidthMeasured, ClockSource, DnsFailure, DnsOutcome, Echo, Hop, HopAnswer, HttpMeasured,
    HttpOutcome, NameResolved, PingMeasured, PingOptions, RouteTraced, Rtt, TcpMeasured, TcpOutcome, Throughput,
    Timestamp, TracerouteProtocol, Transport,
};
use netstats_probe::Outcome;

/// How a destination is on a good day.
struct Place {
    host: &'static str,
    /// The shortest round trip, in microseconds.
    base_us: u32,
    /// Mean of what queues add.
    spread_us: u32,
    /// What a busy evening adds at its height.
    evening_us: u32,
    /// Packets lost of a million, always; ten times that in a busy evening.
    loss_ppm: u32,
    /// Reached through the provider.
    is_outside: bool,
    /// Time to live of replies.
    ttl: u8,
}

const fn place(host: &'static str, base_us: u32, spread_us: u32, evening_us: u32, loss_ppm: u32, ttl: u8) -> Place {
    Place { host, base_us, spread_us, evening_us, loss_ppm, is_outside: base_us > 2_000, ttl }
}

const PLACES: [Place; 15] = [
    place("192.0.2.1", 380, 60, 20, 0, 64),
    place("192.0.2.254", 3_900, 300, 1_900, 40, 254),
    place("198.51.100.53", 8_700, 350, 2_200, 60, 57),
    place("203.0.113.53", 13_600, 500, 2_600, 90, 55),
    place("2001:db8::1", 610, 90, 30, 0, 63),
    place("198.51.100.60", 12_400, 420, 2_400, 110, 56),
    place("203.0.113.10", 17_800, 600, 2_900, 80, 52),
    place("203.0.113.20", 91_300, 900, 3_800, 250, 46),
    place("203.0.113.30", 208_500, 1_900, 6_500, 600, 41),
    place("192.0.2.11", 11_200, 500, 2_500, 120, 59),
    place("192.0.2.12", 41_700, 2_600, 9_000, 2_500, 53),
    place("192.0.2.13", 28_300, 900, 3_900, 300, 55),
    place("192.0.2.14", 22_100, 700, 3_100, 200, 56),
    place("198.51.100.80", 23_900, 900, 3_300, 150, 54),
    place("192.0.2.80", 900, 150, 60, 0, 63),
];

/// What goes wrong.
#[derive(Clone, Copy)]
enum Trouble {
    /// No answer.
    Down,
    /// So many packets lost of a million.
    Loss(u32),
    /// So much slower, in microseconds, over another path.
    Detour(u32),
    /// So much more queueing.
    Queue(u32),
}

/// Where and when; minutes before the end of history, so that the newest are under way when the demo starts.
struct Fault {
    /// None: everything behind the provider.
    host: Option<&'static str>,
    from: i64,
    to: i64,
    what: Trouble,
}

const fn fault(host: Option<&'static str>, from: i64, to: i64, what: Trouble) -> Fault {
    Fault { host, from, to, what }
}

const DAY: i64 = 24 * 60;

const FAULTS: [Fault; 9] = [
    fault(Some("203.0.113.20"), 41 * DAY, 33 * DAY, Trouble::Detour(18_400)),
    fault(Some("203.0.113.20"), 6 * DAY, 5 * DAY + 700, Trouble::Detour(31_000)),
    fault(None, 12 * DAY + 130, 12 * DAY + 88, Trouble::Down),
    fault(None, 3 * DAY + 95, 3 * DAY + 55, Trouble::Loss(120_000)),
    fault(Some("192.0.2.12"), 9 * 60, -90, Trouble::Loss(140_000)),
    fault(Some("192.0.2.14"), 26, -45, Trouble::Down),
    fault(Some("198.51.100.60"), 5 * 60, -240, Trouble::Queue(14_000)),
    fault(Some("198.51.100.80"), 2 * DAY + 50, 2 * DAY + 15, Trouble::Down),
    fault(Some("192.0.2.13"), 17 * DAY, 16 * DAY + 500, Trouble::Queue(9_000)),
];

/// The observer's own troubles, in minutes before the end: asleep, and without a network.
pub(super) const ASLEEP: (i64, i64) = (20 * DAY + 420, 20 * DAY);
pub(super) const UPLINK_DOWN: (i64, i64) = (5 * DAY + 71, 5 * DAY + 60);

/// When the office got a router that keeps its queues short, in minutes before the end.
pub(super) const NEW_ROUTER: i64 = 9 * DAY;

/// The office's line in Mbit/s, down and up, when nobody else uses it.
const LINE_MBPS: (f64, f64) = (246.0, 41.5);
/// A bandwidth test, each way: so many parts of 100 ms, the first of them left out of the result.
const TEST_PARTS: (u16, u16) = (80, 10);

/// Numbers from a seed: `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True so many times of a million.
    fn is_one_of(&mut self, ppm: u32) -> bool {
        self.next() % 1_000_000 < u64::from(ppm)
    }

    /// What a queue adds: exponential, of this mean.
    fn queue(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// A destination at a moment.
struct Weather {
    is_down: bool,
    loss_ppm: u32,
    base_us: f64,
    queue_us: f64,
    has_detour: bool,
}

/// See the module.
pub(crate) struct World {
    seed: u64,
    end: Timestamp,
}

impl World {
    pub(crate) const fn new(seed: u64, end: Timestamp) -> Self {
        Self { seed, end }
    }

    /// The moment so many minutes before the end of history.
    pub(super) fn minutes_ago(&self, minutes: i64) -> Timestamp {
        Timestamp::from_millis(self.end.as_millis() - minutes * 60_000)
    }

    /// True while the observer itself had no network.
    pub(super) fn is_cut_off(&self, at: Timestamp) -> bool {
        self.minutes_ago(UPLINK_DOWN.0) <= at && at < self.minutes_ago(UPLINK_DOWN.1)
    }

    fn dice(&self, host: &str, salt: u64, at: i64) -> Dice {
        let name = host
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut dice = Dice(self.seed ^ name.rotate_left(17) ^ salt << 56 ^ at as u64);
        dice.next();
        dice
    }

    fn place(host: &str) -> &'static Place {
        PLACES.iter().find(|place| place.host == host).unwrap_or(&PLACES[0])
    }

    fn weather(&self, place: &Place, at: Timestamp) -> Weather {
        let age = (self.end.as_millis() - at.as_millis()).div_euclid(60_000);
        let busy = busy(at);
        let mut weather = Weather {
            is_down: place.is_outside && self.is_cut_off(at) || self.fails_by_chance(place, at),
            loss_ppm: place.loss_ppm + (f64::from(place.loss_ppm) * 9.0 * busy) as u32,
            base_us: f64::from(place.base_us),
            queue_us: f64::from(place.spread_us) + f64::from(place.evening_us) * busy,
            has_detour: false,
        };
        let concerns = |fault: &&Fault| {
            fault.host.map_or(place.is_outside, |host| host == place.host) && age <= fault.from && age > fault.to
        };
        for fault in FAULTS.iter().filter(concerns) {
            match fault.what {
                Trouble::Down => weather.is_down = true,
                Trouble::Loss(ppm) => weather.loss_ppm += ppm,
                Trouble::Queue(us) => weather.queue_us += f64::from(us),
                Trouble::Detour(us) => {
                    weather.base_us += f64::from(us);
                    weather.has_detour = true;
                }
            }
        }
        weather
    }

    /// Now and then a place is away for some minutes, the worse ones more often.
    fn fails_by_chance(&self, place: &Place, at: Timestamp) -> bool {
        let (day, minute) = (at.as_secs().div_euclid(86_400), at.as_secs().rem_euclid(86_400) / 60);
        let mut dice = self.dice(place.host, 1, day);
        let chance = 4_000 + place.loss_ppm * 60;
        if !dice.is_one_of(chance) {
            return false;
        }
        let (from, long) = (dice.next() % 1_380, 3 + dice.next() % 38);
        (from..from + long).contains(&(minute as u64))
    }

    /// A round trip; none if it was lost.
    fn trip(weather: &Weather, dice: &mut Dice) -> Option<Rtt> {
        if weather.is_down || dice.is_one_of(weather.loss_ppm) {
            return None;
        }
        let mut us = weather.base_us + dice.queue(weather.queue_us);
        if dice.is_one_of(1_500) {
            us += dice.queue(weather.base_us / 2.0 + 2_000.0);
        }
        Some(Rtt::from_nanos((us * 1_000.0) as u64))
    }

    /// A burst of pings.
    pub(crate) fn ping(&self, host: &str, options: &PingOptions, at: Timestamp) -> Outcome {
        let place = Self::place(host);
        let (weather, mut dice) = (self.weather(place, at), self.dice(host, 2, at.as_millis()));
        let timeout = Duration::from_millis(u64::from(options.timeout_ms));
        let echoes: Vec<Echo> = (0..options.packets)
            .map(|_| match Self::trip(&weather, &mut dice) {
                Some(rtt) if Duration::from_nanos(rtt.as_nanos()) > timeout => Echo::Late(rtt),
                Some(rtt) => Echo::Reply(rtt),
                None => Echo::Lost,
            })
            .collect();
        Outcome::Ping(PingMeasured {
            head: Outcome::BLANK,
            address: address(host),
            transport: Transport::IcmpDatagram,
            clock: ClockSource::Kernel,
            payload_bytes: options.payload_bytes,
            spacing_ms: options.spacing_ms,
            timeout_ms: options.timeout_ms,
            ttl: echoes.iter().any(|echo| echo.rtt().is_some()).then_some(place.ttl),
            echoes,
            duplicates: u16::from(dice.is_one_of(40)),
            reordered: 0,
            bad_replies: 0,
        })
    }

    /// A name looked up at the server `host`.
    pub(crate) fn dns(&self, host: &str, at: Timestamp) -> Outcome {
        let place = Self::place(host);
        let (weather, mut dice) = (self.weather(place, at), self.dice(host, 3, at.as_millis()));
        let first = Self::trip(&weather, &mut dice);
        let is_retry = first.is_none();
        let rtt = first.or_else(|| Self::trip(&weather, &mut dice)).map(|rtt| {
            // One answer of ten is not in the cache.
            let fetched = if dice.is_one_of(100_000) { dice.queue(35_000.0) } else { dice.queue(180.0) };
            Rtt::from_micros(rtt.as_micros() + fetched as u32)
        });
        let answer = AnswerRecord { record_type: "A".into(), data: "198.51.100.80".into(), ttl_s: 300 };
        Outcome::Dns(NameResolved {
            head: Outcome::BLANK,
            name: "www.example.com".into(),
            record_type: "A".into(),
            server: Some(format!("{host}:53")),
            transport: "udp".into(),
            clock: ClockSource::Kernel,
            attempts: 1 + u8::from(is_retry),
            is_expected: rtt.is_some(),
            outcome: match rtt {
                Some(rtt) => DnsOutcome::Response { rtt, rcode: 0, flags: 0x8180, answers: vec![answer] },
                None => DnsOutcome::Failure(DnsFailure::Timeout),
            },
        })
    }

    /// A TCP connection.
    pub(crate) fn tcp(&self, host: &str, at: Timestamp) -> Outcome {
        let (weather, mut dice) = (self.weather(Self::place(host), at), self.dice(host, 4, at.as_millis()));
        let outcome = Self::trip(&weather, &mut dice).map_or(TcpOutcome::Timeout, TcpOutcome::Connected);
        Outcome::Tcp(TcpMeasured { head: Outcome::BLANK, address: address(host), port: 443, outcome })
    }

    /// An HTTPS request.
    pub(crate) fn http(&self, host: &str, at: Timestamp) -> Outcome {
        let (weather, mut dice) = (self.weather(Self::place(host), at), self.dice(host, 5, at.as_millis()));
        let connect = Self::trip(&weather, &mut dice);
        let plus = |rtt: Rtt, us: f64| Rtt::from_micros(rtt.as_micros() + us as u32);
        let tls = connect.map(|rtt| plus(rtt, 900.0 + dice.queue(300.0)));
        let first_byte = connect.map(|rtt| plus(rtt, 22_000.0 + dice.queue(9_000.0 + 40_000.0 * busy(at))));
        let body = dice.queue(4_000.0);
        let total = connect.zip(tls).zip(first_byte).map(|((connect, tls), first)| {
            Rtt::from_micros(connect.as_micros() + tls.as_micros() + first.as_micros() + body as u32)
        });
        let is_broken = dice.is_one_of(1_200);
        let outcome = match connect {
            None => HttpOutcome::Timeout("connect".into()),
            Some(_) if is_broken => HttpOutcome::UnexpectedStatus(503),
            Some(_) => HttpOutcome::Expected(200),
        };
        Outcome::Http(HttpMeasured {
            head: Outcome::BLANK,
            url: format!("https://{host}/"),
            address: Some(address(host)),
            dns: None,
            connect,
            tls,
            first_byte,
            total,
            certificate_expires: connect.map(|_| self.minutes_ago(-57 * DAY)),
            redirects: 0,
            body_bytes: if connect.is_some() { 18_432 } else { 0 },
            outcome,
        })
    }

    /// A bandwidth test over the office's line: others use it too, most of all in the evening.
    pub(crate) fn bandwidth(&self, host: &str, at: Timestamp) -> Outcome {
        let place = Self::place(host);
        let (weather, mut dice) = (self.weather(place, at), self.dice(host, 7, at.as_millis()));
        let is_down = weather.is_down;
        let free = 1.0 - 0.34 * busy(at) - dice.queue(0.02);
        // What was sent again was not sent anew; a long way fills a line less.
        let flow = free * (1.0 - f64::from(weather.loss_ppm) / 400_000.0).max(0.05)
            / (1.0 + f64::from(place.base_us) / 400_000.0);
        let mut way = |mbps: f64| (!is_down).then(|| one_way((mbps * flow).max(0.2), weather.loss_ppm, &mut dice));
        let (down, up) = (way(LINE_MBPS.0), way(LINE_MBPS.1));
        let is_bloated = at < self.minutes_ago(NEW_ROUTER);
        let queue_us = if is_bloated { 96_000.0 + 90_000.0 * busy(at) } else { 7_000.0 + 8_000.0 * busy(at) };
        let rtt = |us: f64| (!is_down).then(|| Rtt::from_micros(us as u32));
        let idle_us = weather.base_us + weather.queue_us / 10.0;
        Outcome::Bandwidth(BandwidthMeasured {
            head: Outcome::BLANK,
            address: address(host),
            engine: "iperf3".into(),
            down,
            up,
            idle_rtt: rtt(idle_us),
            loaded_rtt_p95: rtt(idle_us + queue_us + dice.queue(queue_us / 6.0)),
            is_cpu_bound: false,
            cpu_permille: 110 + (dice.next() % 60) as u16,
            failure: is_down.then(|| format!("no connection to {host}:5201: timed out")),
        })
    }

    /// The way there: office, provider, the exchange, the far network; one router never answers.
    pub(crate) fn route(&self, host: &str, at: Timestamp) -> Outcome {
        let place = Self::place(host);
        let (weather, mut dice) = (self.weather(place, at), self.dice(host, 6, at.as_millis()));
        let far = if weather.has_detour { "203.0.113.201" } else { "203.0.113.101" };
        let share = [0.005, 0.04, 0.2, 0.0, 0.8, 1.0];
        let via = ["192.0.2.1", "192.0.2.254", "198.51.100.1", "", far, host];
        let mut hops = Vec::with_capacity(via.len());
        for (index, (via, share)) in via.into_iter().zip(share).enumerate() {
            let answers = (0..3).map(|_| {
                let is_silent = via.is_empty() || weather.is_down && index > 1;
                match Self::trip(&weather, &mut dice) {
                    Some(rtt) if !is_silent => {
                        let us = f64::from(rtt.as_micros()) * share;
                        let (icmp_type, icmp_code) = if via == host { (0, 0) } else { (11, 0) };
                        HopAnswer::Answer { from: address(via), rtt: Rtt::from_micros(us as u32), icmp_type, icmp_code }
                    }
                    _ => HopAnswer::Silent,
                }
            });
            let answers = answers.collect();
            hops.push(Hop { ttl: index as u8 + 1, answers, mpls: Vec::new(), name: None });
        }
        let reached = hops.last().is_some_and(|hop| hop.answers.iter().any(|one| *one != HopAnswer::Silent));
        let duration_us = (weather.base_us * 1.4) as u32 + 2_000;
        Outcome::Traceroute(RouteTraced {
            head: Outcome::BLANK,
            address: address(host),
            protocol: TracerouteProtocol::Icmp,
            clock: ClockSource::Kernel,
            hops,
            reached,
            duration_us,
        })
    }
}

/// What arrives at this rate: slowly at first, then as fast as the way allows.
fn one_way(mbps: f64, loss_ppm: u32, dice: &mut Dice) -> Throughput {
    let full = mbps * 12_500.0;
    let bytes_per_100ms = (0..TEST_PARTS.0)
        .map(|part| (full * (f64::from(part + 1) / 7.0).min(1.0) * (0.94 + 0.12 * dice.unit())) as u32)
        .collect::<Vec<_>>();
    let segments = bytes_per_100ms.iter().map(|bytes| f64::from(*bytes)).sum::<f64>() / 1_448.0;
    let again = segments * f64::from(loss_ppm) / 1_000_000.0 + dice.queue(12.0);
    Throughput { bytes_per_100ms, skipped: TEST_PARTS.1, retransmits: Some(again as u32) }
}

fn address(host: &str) -> IpAddr {
    host.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

/// How busy people are, 0 to 1: most at eight in the evening (UTC), less at weekends' nights.
fn busy(at: Timestamp) -> f64 {
    let hour = at.as_secs().rem_euclid(86_400) as f64 / 3_600.0;
    let weekday = (at.as_secs().div_euclid(86_400) + 3).rem_euclid(7);
    let evening = (1.0 - ((hour - 20.0) / 3.2).powi(2)).max(0.0);
    let office = if weekday < 5 { 0.45 * (1.0 - ((hour - 11.5) / 4.5).powi(2)).max(0.0) } else { 0.0 };
    (evening * if weekday < 5 { 1.0 } else { 0.8 }).max(office)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn replies(outcome: &Outcome) -> usize {
        let Outcome::Ping(ping) = outcome else { panic!("a ping") };
        ping.echoes.iter().filter(|echo| echo.rtt().is_some()).count()
    }

    #[test]
    fn a_moment_is_the_same_however_often_it_is_asked() {
        let (one, two) = (World::new(7, END), World::new(7, END));
        let at = one.minutes_ago(10_000);
        assert_eq!(
            one.ping("203.0.113.20", &PingOptions::default(), at),
            two.ping("203.0.113.20", &PingOptions::default(), at)
        );
        assert_ne!(
            one.ping("203.0.113.20", &PingOptions::default(), at),
            World::new(8, END).ping("203.0.113.20", &PingOptions::default(), at)
        );
    }

    #[test]
    fn faults_begin_and_end_when_the_table_says() {
        let world = World::new(1, END);
        let ask = |minutes| replies(&world.ping("192.0.2.14", &PingOptions::default(), world.minutes_ago(minutes)));
        assert!(ask(60) > 0);
        assert_eq!(ask(20), 0, "down since 26 minutes before the end");
        assert_eq!(ask(0), 0, "and still when the demo starts");
    }

    #[test]
    fn the_new_router_keeps_the_queues_short_and_the_evening_is_slow() {
        let world = World::new(1, END);
        let test = |at| match world.bandwidth("192.0.2.254", at) {
            Outcome::Bandwidth(run) => run,
            other => panic!("{other:?}"),
        };
        let added_ms = |minutes| {
            let run = test(world.minutes_ago(minutes));
            run.loaded_rtt_p95.unwrap().as_millis_f64() - run.idle_rtt.unwrap().as_millis_f64()
        };
        assert!(added_ms(NEW_ROUTER + 60) > 60.0, "{}", added_ms(NEW_ROUTER + 60));
        assert!(added_ms(NEW_ROUTER - 60) < 60.0, "{}", added_ms(NEW_ROUTER - 60));

        let day_before = END.as_secs().div_euclid(86_400) - 2;
        let moved = |hour: i64| {
            let run = test(Timestamp::from_secs(day_before * 86_400 + hour * 3_600));
            run.down.unwrap().bytes_per_100ms.iter().sum::<u32>()
        };
        assert!(moved(20) < moved(4));
    }

    #[test]
    fn a_detour_is_another_path() {
        let world = World::new(1, END);
        let path = |minutes| match world.route("203.0.113.20", world.minutes_ago(minutes)) {
            Outcome::Traceroute(route) => route.hops.into_iter().nth(4).map(|hop| hop.answers),
            other => panic!("{other:?}"),
        };
        let far = |answers: Option<Vec<HopAnswer>>| {
            answers.into_iter().flatten().find_map(|answer| match answer {
                HopAnswer::Answer { from, .. } => Some(from.to_string()),
                _ => None,
            })
        };
        assert_eq!(far(path(37 * DAY)).as_deref(), Some("203.0.113.201"));
        assert_eq!(far(path(30 * DAY)).as_deref(), Some("203.0.113.101"));
    }
}
