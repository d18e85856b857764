//! Accounts of availability: by the saved method, with maintenance also after the fact, and under other settings.

mod support;

use std::io::Cursor;
use std::sync::Arc;

use calamine::{Data, Reader, Xlsx};
use netstats_api::ApiContext;
use netstats_event::{
    DestinationId, Echo, Event, FailReason, JobId, PingMeasured, ProbeKind, Rtt, SampleHead, SlotFailed, Timestamp,
};
use netstats_export::{SigningKey, verify_pack};
use serde_json::{Value, json};
use support::{NOW, Server, ping, start_on};

const MINUTE: i64 = 60_000;

fn with_echoes(destination: u32, slot: i64, echoes: Vec<Echo>) -> Event {
    let Event::PingMeasured(like) = ping(1, destination, slot) else { unreachable!() };
    let head = SampleHead {
        job: JobId(1),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot),
        ..like.head
    };
    Event::PingMeasured(PingMeasured { head, echoes, ..like })
}

fn good(destination: u32, slot: i64) -> Event {
    let times = [1_000, 1_100, 1_200, 1_300];
    with_echoes(destination, slot, times.iter().map(|us| Echo::Reply(Rtt::from_micros(*us))).collect())
}

/// Minutes before now.
fn ago(minutes: i64) -> i64 {
    NOW - minutes * MINUTE
}

/// Four hours of two destinations. One is down for one minute 200 minutes ago, and for ten 100 minutes ago; in its last
/// hour a fifth is lost.
async fn measured() -> Server {
    let adjust = |context: &mut ApiContext| context.signing_key = Some(Arc::new(SigningKey::from_seed(&[3; 32])));
    let server = start_on(Arc::default(), adjust).await;
    server.furnish().await;
    let mut events = Vec::new();
    for minute in (1..=240).rev() {
        events.push(match minute {
            200 | 91..=100 => with_echoes(1, ago(minute), vec![Echo::Lost; 4]),
            1..=60 if minute % 5 == 0 => ping(1, 1, ago(minute)),
            _ => good(1, ago(minute)),
        });
        events.push(good(2, ago(minute)));
    }
    server.append(events);
    server
}

/// An answer without its position.
fn figures(answer: &Value, which: &str) -> Value {
    let mut item = answer["items"][0][which].clone();
    item.as_object_mut().unwrap().remove("hours");
    item.as_object_mut().unwrap().remove("degraded_hours");
    item
}

async fn recorded(server: &Server, more: &str) -> Value {
    let range = "start_time=2026-11-24T00:00:00Z&end_time=2026-11-24T04:00:00Z";
    let path = format!("/api/destinations/one/analytics?{range}{more}");
    let mut availability = server.get(&path).await.is(200)["availability"].clone();
    availability.as_object_mut().unwrap().remove("method");
    availability
}

async fn what_if(server: &Server, supposed: Value) -> Value {
    let mut body = json!({"start_time": "now-4h", "end_time": "now", "destinations": ["one"]});
    body.as_object_mut().unwrap().extend(supposed.as_object().unwrap().clone());
    server.post("/api/what-if", &body).await.is(200)
}

#[tokio::test]
async fn the_recorded_settings_give_exactly_what_is_recorded_and_nothing_is_touched() {
    let server = measured().await;
    let head = server.journal.head().last;
    let answer = what_if(&server, json!({})).await;
    assert_eq!(answer["items"][0]["recorded"], answer["items"][0]["what_if"]);
    assert_eq!(figures(&answer, "recorded"), recorded(&server, "").await);
    let one = &answer["items"][0]["recorded"];
    assert_eq!((&one["down_s"], &one["up_s"], &one["outages"]), (&json!(660.0), &json!(13_740.0), &json!(2)));
    assert_eq!(one["availability_percent"].as_f64().unwrap(), 95.416667);
    assert_eq!((&one["longest_outage_s"], &one["degraded_hours"]), (&json!(600.0), &Value::Null));
    // Of what is to come, nothing is in an account.
    let future = what_if(&server, json!({"end_time": "2026-11-24T09:00:00Z"})).await;
    assert_eq!((&future["items"], &future["end_time"]), (&answer["items"], &answer["end_time"]));

    // Supposed: a retry takes the single failure back; the method that was saved is not changed by it.
    let answer = what_if(&server, json!({"accounting": {"retries": 1}})).await;
    let supposed = &answer["items"][0]["what_if"];
    assert_eq!((&supposed["down_s"], &supposed["outages"]), (&json!(600.0), &json!(1)));
    assert_eq!(answer["accounting"]["what_if"]["retries"], 1);
    assert_eq!(answer["accounting"]["recorded"]["retries"], 0);
    assert_eq!(figures(&answer, "recorded"), recorded(&server, "").await);
    assert_eq!(server.journal.head().last, head, "nothing was appended");
    assert_eq!(server.get("/api/accounting").await.is(200)["retries"], 0);

    // Saved: now it is what is recorded, and what was recorded before is still known.
    server.send("PATCH", "/api/accounting", &json!({"retries": 1})).await.is(200);
    assert_eq!(&recorded(&server, "").await, &figures(&answer, "what_if"));
    assert_eq!(&recorded(&server, &format!("&as_of={head}")).await["outages"], 2);
    server.stop().await;
}

#[tokio::test]
async fn under_every_method_what_is_supposed_is_what_is_recorded_once_it_is_saved() {
    let server = measured().await;
    // Slots that failed on our side, and work in the middle of an outage.
    let blind = |minute| {
        let Event::PingMeasured(like) = ping(1, 1, ago(minute)) else { unreachable!() };
        Event::SlotFailed(SlotFailed {
            head: SampleHead { slot_at: Timestamp::from_millis(ago(minute) + 1_000), ..like.head },
            probe: ProbeKind::Ping,
            reason: FailReason::NotPermitted,
            detail: String::new(),
        })
    };
    server.append((150..155).rev().map(blind).collect());
    let window = json!({"title": "work", "start_time": "now-98m", "end_time": "now-95m", "destinations": ["one"]});
    server.post("/api/maintenance", &window).await.is(201);
    let mut seen = std::collections::BTreeSet::new();
    for (retries, grace_s) in [(0, 0), (1, 0), (3, 0), (0, 90), (2, 700)] {
        for maintenance in ["excluded", "counted"] {
            for observer_outages in ["excluded", "up", "down"] {
                let method = json!({"retries": retries, "grace_s": grace_s, "maintenance": maintenance,
                    "observer_outages": observer_outages, "max_loss_percent": 3, "max_p95_ms": 1.25});
                let supposed = what_if(&server, json!({"accounting": method})).await;
                server.send("PATCH", "/api/accounting", &method).await.is(200);
                let saved = what_if(&server, json!({})).await;
                assert_eq!(supposed["items"][0]["what_if"], saved["items"][0]["recorded"], "{method}");
                assert_eq!(saved["items"][0]["what_if"], saved["items"][0]["recorded"], "{method}");
                assert_eq!(saved["total"]["what_if"], saved["total"]["recorded"], "{method}");
                assert_eq!(figures(&saved, "recorded"), recorded(&server, "").await, "{method}");
                let listed = "/api/outages?destination=one&start_time=now-4h&end_time=now";
                assert_eq!(
                    server.get(listed).await.is(200)["total"],
                    saved["items"][0]["recorded"]["outages"],
                    "{method}"
                );
                seen.insert(saved["items"][0]["recorded"].to_string());
            }
        }
    }
    assert!(seen.len() >= 6, "the methods differ: {}", seen.len());
    server.stop().await;
}

#[tokio::test]
async fn maintenance_after_the_fact_changes_the_account_and_the_original_stays_readable() {
    let server = measured().await;
    let head = server.journal.head().last;
    let before = recorded(&server, "").await;
    let time = |minutes: i64| format!("2026-11-24T{:02}:{:02}:00Z", 4 - (minutes + 59) / 60, (60 - minutes % 60) % 60);
    let window =
        json!({"title": "found out later", "start_time": time(105), "end_time": time(85), "destinations": ["one"]});

    let supposed = what_if(&server, json!({"maintenance": {"add": [window.clone()]}})).await;
    let account = &supposed["items"][0]["what_if"];
    assert_eq!(
        (&account["down_s"], &account["maintenance_s"], &account["outages"]),
        (&json!(60.0), &json!(1_200.0), &json!(1))
    );
    assert_eq!(figures(&supposed, "recorded"), before);

    server.post("/api/maintenance?reason=mail", &window).await.is(201);
    assert_eq!(recorded(&server, "").await, figures(&supposed, "what_if"), "what was supposed is what is recorded now");
    assert_eq!(recorded(&server, &format!("&as_of={head}")).await, before, "as known before");
    let undone = what_if(&server, json!({"maintenance": {"ignore": [1]}})).await;
    assert_eq!(figures(&undone, "what_if"), before);
    // The other destination is not touched.
    let two = server.post("/api/what-if", &json!({"start_time": "now-4h", "destinations": [2]})).await.is(200);
    assert_eq!(two["items"][0]["recorded"]["maintenance_s"], json!(0.0));

    server.send("PATCH", "/api/accounting", &json!({"maintenance": "counted"})).await.is(200);
    assert_eq!(recorded(&server, "").await, before);
    server.stop().await;
}

#[tokio::test]
async fn thresholds_judge_hours_and_totals_add_up() {
    let server = measured().await;
    let body = json!({"start_time": "now-4h", "end_time": "now", "accounting": {"max_loss_percent": 3}});
    let answer = server.post("/api/what-if", &body).await.is(200);
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["destination"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    // One of 60 minutes dead is 1.7 %; ten of 60 are 17 %; a fifth of the bursts losing one of three is 5.3 %.
    assert_eq!((&items[0]["what_if"]["hours"], &items[0]["what_if"]["degraded_hours"]), (&json!(4), &json!(2)));
    assert_eq!((&items[1]["what_if"]["degraded_hours"], &items[1]["recorded"]["hours"]), (&json!(0), &Value::Null));
    let total = &answer["total"]["what_if"];
    assert_eq!((&total["hours"], &total["degraded_hours"], &total["outages"]), (&json!(8), &json!(2), &json!(2)));
    assert_eq!(total["down_s"].as_f64(), Some(660.0));
    let slow = json!({"start_time": "now-4h", "destinations": [2], "accounting": {"max_p95_ms": 1.0}});
    let answer = server.post("/api/what-if", &slow).await.is(200);
    assert_eq!(answer["items"][0]["what_if"]["degraded_hours"], 4);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_supposed_is_refused_by_field() {
    let server = measured().await;
    for (body, field) in [
        (json!({"start_time": "now", "end_time": "now-1h"}), "start_time"),
        (json!({"start_time": "2026-01-01"}), "start_time"),
        (json!({"start_time": "1900-01-01T00:00:00Z"}), "start_time"),
        (json!({"destinations": ["nobody"]}), "destinations[0]"),
        (json!({"job": "nothing"}), "job"),
        (json!({"accounting": {"retries": 101}}), "accounting.retries"),
        (json!({"accounting": {"retry": 1}}), "accounting.retry"),
        (json!({"maintenance": {"ignore": [9]}}), "maintenance.ignore[0]"),
        (json!({"maintenance": {"add": [{"text": "no title"}]}}), "maintenance.add[0].title"),
        (json!({"maintenance": {"add": [{"title": "x", "start_time": "soon"}]}}), "maintenance.add[0].start_time"),
        (json!({"maintenance": {"add": vec![json!({"title": "x"}); 101]}}), "maintenance.add"),
        (json!({"tresholds": {}}), "tresholds"),
    ] {
        server.post("/api/what-if", &body).await.refuses(422, Some(field));
    }
    // 40,000 days over two destinations are 20,000 of each.
    let days = |days: i64| json!({"start_time": format!("now-{days}d"), "end_time": "now"});
    server.post("/api/what-if", &days(20_000)).await.is(200);
    server.post("/api/what-if", &days(20_001)).await.refuses(422, Some("start_time"));
    server.stop().await;
}

/// The rows of a workbook's sheet below its header, which is the fourth row, by the header's words.
fn sheet(workbook: &[u8], name: &str) -> Vec<Value> {
    let mut workbook = Xlsx::new(Cursor::new(workbook)).unwrap();
    let cells = workbook.worksheet_range(name).unwrap();
    let mut rows = cells.rows().skip(3);
    let head: Vec<String> = rows.next().unwrap().iter().map(ToString::to_string).collect();
    let value = |cell: &Data| match cell {
        Data::Float(real) => json!(real),
        Data::Empty => Value::Null,
        other => json!(other.to_string()),
    };
    rows.map(|row| head.iter().cloned().zip(row.iter().map(value)).collect()).collect()
}

#[tokio::test]
async fn a_workbook_and_a_pack_have_the_account_of_every_other_answer() {
    let server = measured().await;
    let window = json!({"title": "work", "start_time": "2026-11-24T02:22:00Z", "end_time": "2026-11-24T02:26:00Z"});
    server.post("/api/maintenance", &window).await.is(201);
    let range = "start_time=2026-11-24T00:00:00Z&end_time=2026-11-24T04:00:00Z";
    for (method, words) in [
        (json!({}), "Every failed check counts. Maintenance is left out."),
        (json!({"retries": 1}), "A failed check counts only if the next one fails too."),
        (json!({"maintenance": "counted"}), "Maintenance counts like any other time."),
        (json!({"retries": 0, "grace_s": 120}), "Outages shorter than 120 s do not count."),
        (json!({"grace_s": 0, "observer_outages": "down"}), "counts as not answered"),
    ] {
        server.send("PATCH", "/api/accounting", &method).await.is(200);
        let workbook = server.get(&format!("/api/export?{range}")).await.body;
        let statistics = sheet(&workbook, "Statistics");
        let outages = sheet(&workbook, "Outages");
        for (name, row) in ["one", "two"].iter().zip(&statistics) {
            let said = server.get(&format!("/api/destinations/{name}/analytics?{range}")).await.is(200);
            let account = &said["availability"];
            let near = |of: &str, times: f64, is: &str| {
                let (in_book, in_answer) = (row[of].as_f64().unwrap() * times, account[is].as_f64().unwrap());
                assert!((in_book - in_answer).abs() < 1e-6, "{method}, {name}, {of}: {in_book}, not {in_answer}");
            };
            assert_eq!(row["Destination"], *name);
            near("Availability %", 1.0, "availability_percent");
            near("Available min", 60.0, "up_s");
            near("Not available min", 60.0, "down_s");
            near("Not known min", 60.0, "unknown_s");
            near("Maintenance left out min", 60.0, "maintenance_s");
            near("Not to be measured min", 60.0, "unmeasured_s");
            let of_it: Vec<_> = outages.iter().filter(|row| row["Destination"] == *name).collect();
            assert_eq!(account["outages"], of_it.len(), "{method}");
            let counted: f64 = of_it.iter().map(|row| row["Minutes that count"].as_f64().unwrap()).sum();
            assert!((counted * 60.0 - account["down_s"].as_f64().unwrap()).abs() < 1e-6, "{method}: {of_it:?}");
        }
        let mut book = Xlsx::new(Cursor::new(&workbook)).unwrap();
        let summary: Vec<String> =
            book.worksheet_range("Summary").unwrap().cells().map(|it| it.2.to_string()).collect();
        assert!(summary.iter().any(|cell| cell.contains(words)), "{words}: {summary:?}");
    }
    // Of one job, and with a range that begins in an outage and ends in the future.
    for query in [format!("job=pings&{range}"), "start_time=2026-11-24T02:25:00Z&end_time=now%2B1h".to_owned()] {
        let pack = server.get(&format!("/api/export?format=pack&{query}")).await;
        assert_eq!(pack.status, 200, "{}", String::from_utf8_lossy(&pack.body));
        let verdict = verify_pack(Cursor::new(&pack.body), None).unwrap();
        assert_eq!((verdict.problems.as_slice(), verdict.unproved_streams), (&[] as &[String], 0), "{query}");
    }
    server.stop().await;
}
