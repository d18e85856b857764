//! Whatever came later: an answer as of a position is, byte for byte, what a server answers that saw no more than that.

mod support;

use std::sync::Arc;
use std::time::Duration;

use netstats_event::*;
use netstats_inventory::{Command, Inventory, Policy, decide};
use netstats_log::{Log, MemoryLog};
use support::{NOW, Server, start_on};

/// A linear congruential generator: the same history each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Config edits and samples, as a user and a collector make them, 13 seconds from one to the next.
fn history(edits: usize) -> Vec<Draft> {
    let (mut random, mut inventory) = (Random(7), Inventory::default());
    let mut drafts: Vec<Draft> = Vec::new();
    let mut taken = 0;
    while taken < edits {
        let at = Timestamp::from_millis(NOW + i64::try_from(drafts.len()).unwrap() * 13_000);
        let events = if random.below(2) == 0 {
            match decide(&inventory, edit(&mut random, &inventory, at), &Meta::by("api:local"), &Policy::default()) {
                Ok(events) => events,
                Err(_) => continue,
            }
        } else {
            sample(&mut random, at)
        };
        taken += 1;
        for event in events {
            let position = Position(drafts.len() as u64 + 1);
            drafts.push(encode(&event, at).unwrap());
            inventory.apply(&Envelope { position, recorded_at: at, event });
        }
    }
    drafts
}

fn edit(random: &mut Random, inventory: &Inventory, at: Timestamp) -> Command {
    let destination = DestinationSpec {
        name: format!("d{}", random.below(12)),
        host: format!("192.0.2.{}", random.below(250)),
        tags: vec![format!("t{}", random.below(3))],
        paused: random.below(5) == 0,
        ..DestinationSpec::default()
    };
    let job = JobSpec {
        name: format!("j{}", random.below(4)),
        enabled: random.below(4) > 0,
        interval_s: 60,
        metrics: vec![Metric::Ping, Metric::Jitter, Metric::Tcp],
        destination_tags: vec![format!("t{}", random.below(3))],
        ..JobSpec::default()
    };
    let id = DestinationId(1 + u32::try_from(random.below(inventory.next_destination.0.max(2).into())).unwrap());
    let job_id = JobId(1 + u32::try_from(random.below(inventory.next_job.0.max(2).into())).unwrap());
    match random.below(100) {
        0..25 => Command::AddDestination(destination),
        25..50 => Command::ChangeDestination { id, spec: destination },
        // The first few have the samples: they stay for a while.
        50..54 if id.0 > 3 || random.below(20) == 0 => Command::RemoveDestination { id },
        54..60 => Command::AddJob(job),
        60..75 => Command::ChangeJob { id: job_id, spec: job },
        75..78 if job_id.0 > 2 || random.below(20) == 0 => Command::RemoveJob { id: job_id },
        84..88 => Command::StartJob { id: job_id },
        78..80 => Command::AddAnnotation(AnnotationSpec {
            title: format!("note {}", random.below(9)),
            start_time: at,
            destinations: vec![id],
            ..AnnotationSpec::default()
        }),
        80..82 => Command::AddMaintenance(MaintenanceSpec {
            title: format!("work {}", random.below(9)),
            // Also after the fact.
            start_time: at.minus(Duration::from_secs(random.below(600))),
            end_time: Some(at.plus(Duration::from_secs(random.below(600)))),
            destinations: if random.below(2) == 0 { vec![id] } else { Vec::new() },
            ..MaintenanceSpec::default()
        }),
        82..84 => Command::RemoveMaintenance { id: MaintenanceId(1 + u32::try_from(random.below(9)).unwrap()) },
        88..90 => Command::ChangeAccounting(AccountingSpec {
            retries: u32::try_from(random.below(3)).unwrap(),
            grace_s: u32::try_from(random.below(60)).unwrap(),
            ..AccountingSpec::default()
        }),
        _ => Command::StopJob { id: job_id },
    }
}

fn sample(random: &mut Random, at: Timestamp) -> Vec<Event> {
    let (job, destination) = (1 + u32::try_from(random.below(2)).unwrap(), 1 + u32::try_from(random.below(3)).unwrap());
    let mut ping = support::ping(job, destination, at.as_millis() - 2_000);
    let Event::PingMeasured(burst) = &mut ping else { unreachable!() };
    burst.echoes = (0..5)
        .map(|_| match random.below(8) {
            0 => Echo::Lost,
            n => Echo::Reply(Rtt::from_micros(9_000 + u32::try_from(n * 37 + random.below(4_000)).unwrap())),
        })
        .collect();
    let head = burst.head;
    match random.below(12) {
        0 => {
            burst.echoes = vec![Echo::Lost; 5];
            vec![ping]
        }
        1 => vec![Event::SlotFailed(SlotFailed {
            head,
            probe: ProbeKind::Ping,
            reason: FailReason::NotPermitted,
            detail: format!("refused {}", random.below(9)),
        })],
        2 => vec![Event::TcpMeasured(TcpMeasured {
            head,
            address: "192.0.2.1".parse().unwrap(),
            port: 443,
            outcome: TcpOutcome::Connected(Rtt::from_micros(20_000)),
        })],
        3 => vec![Event::SlotsSuppressed(SlotsSuppressed {
            job: head.job,
            destination: head.destination,
            probe: ProbeKind::Ping,
            first_slot_at: head.slot_at,
            last_slot_at: head.slot_at,
            count: 1,
            reason: SuppressReason::UplinkDown,
        })],
        4 => vec![Event::RouteTraced(RouteTraced {
            head,
            address: "192.0.2.1".parse().unwrap(),
            protocol: TracerouteProtocol::Udp,
            clock: ClockSource::User,
            hops: vec![Hop {
                ttl: 1,
                answers: vec![HopAnswer::Answer {
                    from: format!("198.51.100.{}", random.below(2)).parse().unwrap(),
                    rtt: Rtt::from_micros(900),
                    icmp_type: 11,
                    icmp_code: 0,
                }],
                ..Hop::default()
            }],
            reached: true,
            duration_us: 1_000,
        })],
        _ => vec![ping],
    }
}

async fn server_of(drafts: &[Draft]) -> Server {
    let log = MemoryLog::default();
    for some in drafts.chunks(500) {
        log.append(some).unwrap();
    }
    let server = start_on(Arc::new(log), |_| {}).await;
    assert!(server.runner.wait_for(Position(drafts.len() as u64), support::BOUND));
    server
}

const QUESTIONS: [&str; 40] = [
    "/api/destinations",
    "/api/destinations?tag=t1&status=active",
    "/api/destinations/1",
    "/api/destinations/2",
    "/api/jobs",
    "/api/jobs/1",
    "/api/jobs/1/metrics?start_time=now-7d",
    "/api/jobs/2/metrics?start_time=now-7d&order=desc&limit=7&metric=ping,tcp",
    "/api/jobs/1/analytics?start_time=now-7d",
    "/api/destinations/1/analytics?start_time=now-7d",
    "/api/series?destination=1&start_time=now-7d&max_points=5000",
    "/api/series?destination=1&start_time=now-7d&max_points=4",
    "/api/series?destination=2&start_time=now-7d&max_points=1&format=rows",
    "/api/top?by=loss&start_time=now-7d",
    "/api/top?by=jitter&worst=2",
    "/api/compare?destination=1&other=2&start_time=now-7d",
    "/api/outages",
    "/api/outages?job=1&start_time=now-20m",
    "/api/accounting",
    "/api/anomalies?destination=1&by=mean&start_time=now-1h",
    "/api/anomalies?destination=1&by=loss&start_time=now-7d&baseline_start_time=now-7d",
    "/api/correlation?destination=1,2,3&by=mean&start_time=now-7d",
    "/api/paths?destination=1",
    "/api/heatmap?destination=1&tz=Europe/Berlin",
    "/api/destinations/4/analytics?start_time=now-7d",
    "/api/series?destination=3&job=1&start_time=now-40m&end_time=now-10m&max_points=30",
    "/api/jobs/1/analytics?start_time=now-30m&metric=tcp",
    "/api/jobs/2/metrics?start_time=now-1h&destination=1,2&limit=5&fields=timestamp,destination,response_time_ms",
    "/api/compare?destination=2&start_time=now-1h",
    "/api/top?by=median&start_time=now-7d&tag=t1",
    "/api/heatmap?destination=2&by=loss&tz=America/New_York&start_time=now-7d",
    "/api/paths?destination=2&job=1&start_time=now-2h",
    "/api/annotations",
    "/api/annotations?start_time=now-20m&destination=1",
    "/api/maintenance",
    "/api/maintenance?start_time=now-30m&end_time=now-10m",
    "/api/events?limit=20",
    "/api/events?kind=destination_changed,destination_removed&destination=2",
    "/api/events?job=1&start_time=now-30m&actor=api:local",
    "/api/what-if",
];

async fn ask(server: &Server, question: &str) -> support::Answer {
    if !question.starts_with("/api/what-if") {
        return server.get(question).await;
    }
    let body = serde_json::json!({"start_time": "now-7d", "accounting": {"retries": 1, "max_loss_percent": 5}});
    server.post(question, &body).await
}

#[tokio::test]
async fn a_moment_of_the_past_is_answered_as_it_was_then() {
    let long = std::env::var("NETSTATS_LONG").ok().and_then(|n| n.parse::<usize>().ok());
    let (long, is_long) = (long.unwrap_or(1), long.is_some());
    let drafts = history(1_000 * long);
    let server = server_of(&drafts).await;
    server.now.store(NOW + 365 * 86_400_000, std::sync::atomic::Ordering::Relaxed);
    let mut random = Random(11);
    let mut answered = std::collections::BTreeSet::new();
    for round in 0..200 * long {
        let position = usize::try_from(random.below(drafts.len() as u64 + 1)).unwrap();
        let then = server_of(&drafts[..position]).await;
        let seen = drafts[position.max(1) - 1].recorded_at;
        then.now.store(seen.as_millis(), std::sync::atomic::Ordering::Relaxed);
        // All of them now and then, a third of them each time (all with NETSTATS_LONG): most of the time is the sockets'.
        let asked = |i: usize| is_long || round % 10 == 0 || (i + round).is_multiple_of(3);
        for (i, question) in QUESTIONS.iter().enumerate().filter(|(i, _)| asked(*i)) {
            let mark = if question.contains('?') { '&' } else { '?' };
            let as_of = if round % 2 == 0 || position == 0 {
                position.to_string()
            } else {
                jiff::Timestamp::from_millisecond(seen.as_millis()).unwrap().to_string()
            };
            // A time is all that was recorded until then: no further event of that time may come.
            if round % 2 == 1 && drafts.get(position).is_some_and(|next| next.recorded_at == seen) {
                continue;
            }
            let past = ask(&server, &format!("{question}{mark}as_of={as_of}")).await;
            let fresh = ask(&then, question).await;
            let text = |answer: &support::Answer| {
                // A refusal's request id is its own.
                let mut json = answer.json();
                json.as_object_mut().map(|fields| fields.remove("request_id"));
                if answer.status == 200 { String::from_utf8_lossy(&answer.body).into_owned() } else { json.to_string() }
            };
            assert_eq!(past.status, fresh.status, "{question} as of {as_of}");
            assert_eq!(text(&past), text(&fresh), "{question} as of {as_of}");
            if past.status == 200 {
                answered.insert(i);
            }
        }
        then.stop().await;
    }
    let silent: Vec<_> = (0..QUESTIONS.len()).filter(|i| !answered.contains(i)).map(|i| QUESTIONS[i]).collect();
    assert!(silent.is_empty(), "had no answer at any moment: {silent:?}");
    server.stop().await;
}
