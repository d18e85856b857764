//! What samples say, asked over a real socket: series, the worst, outages, paths, comparisons, the week.

mod support;

use netstats_event::*;
use serde_json::{Value, json};
use support::{NOW, Server, ping, start};

const MINUTE: i64 = 60_000;

fn burst(destination: u32, slot: i64, micros: &[u32]) -> Event {
    let mut event = ping(1, destination, slot);
    if let Event::PingMeasured(burst) = &mut event {
        burst.echoes =
            micros.iter().map(|us| if *us == 0 { Echo::Lost } else { Echo::Reply(Rtt::from_micros(*us)) }).collect();
    }
    event
}

fn trace(slot: i64, hops: &[Option<&str>]) -> Event {
    let Event::PingMeasured(PingMeasured { head, .. }) = ping(1, 1, slot) else { unreachable!() };
    let hop = |(ttl, from): (u8, &Option<&str>)| Hop {
        ttl,
        answers: vec![from.map_or(HopAnswer::Silent, |from| HopAnswer::Answer {
            from: from.parse().unwrap(),
            rtt: Rtt::from_micros(1_000),
            icmp_type: 11,
            icmp_code: 0,
        })],
        ..Hop::default()
    };
    Event::RouteTraced(RouteTraced {
        head,
        address: "192.0.2.1".parse().unwrap(),
        protocol: TracerouteProtocol::Udp,
        clock: ClockSource::User,
        hops: (1..).zip(hops).map(hop).collect(),
        reached: true,
        duration_us: 5_000,
    })
}

/// Three hours of two destinations: the first answers in 1.000 to 1.059 ms and is down from minute 100 to 109, the
/// second takes 5 ms more and loses one in three.
async fn measured() -> Server {
    let server = start().await;
    server.furnish().await;
    let mut events = Vec::new();
    for minute in 0..180_i64 {
        let slot = NOW - (180 - minute) * MINUTE;
        let us = 1_000 + u32::try_from(minute % 60).unwrap();
        let is_down = (100..110).contains(&minute);
        events.push(burst(1, slot, &if is_down { [0; 3] } else { [us, us + 142, us] }));
        events.push(burst(2, slot, &[us + 5_000, 0, us + 5_000]));
    }
    server.append(events);
    server
}

#[tokio::test]
async fn a_series_has_columns_for_charts_and_rows_for_frames() {
    let server = measured().await;
    let raw = server.get("/api/series?destination=one&start_time=now-3h").await.is(200);
    assert_eq!((&raw["resolution"], &raw["exact"], &raw["relative_error"]), (&json!("raw"), &json!(true), &json!(0.0)));
    let columns = raw["columns"].as_object().unwrap();
    assert!(columns.values().all(|column| column.as_array().unwrap().len() == 180), "{columns:?}");
    assert_eq!((&columns["min_ms"][42], &columns["max_ms"][42]), (&json!(1.042), &json!(1.184)));
    assert_eq!((&columns["median_ms"][100], &columns["packet_loss_percent"][100]), (&Value::Null, &json!(100.0)));
    assert_eq!(columns["p95_ms"][0], Value::Null);
    assert_eq!(raw["not_given"]["p95_ms"], "n too small: 3 values, 20 needed");
    // A figure is the decimal of its microseconds: 1.142 - 1.000, twice over two.
    assert_eq!(columns["jitter_ms"][0], json!(0.142));
    let hours = server.get("/api/series?destination=1&start_time=now-3h&max_points=4").await.is(200);
    assert_eq!((&hours["resolution"], &hours["exact"]), (&json!("3600s"), &json!(false)));
    assert_eq!(hours["relative_error"], json!(0.01));
    assert!(hours["columns"]["p95_ms"][0].is_f64() && hours["columns"]["p99_ms"][0].is_f64());
    let tens = server.get("/api/series?destination=1&start_time=now-3h&max_points=20").await.is(200);
    assert_eq!((&tens["resolution"], &tens["exact"]), (&json!("600s"), &json!(true)));
    let rows = server.get("/api/series?destination=1&start_time=now-3h&max_points=4&format=rows").await.is(200);
    assert_eq!(rows.as_array().unwrap().len(), hours["columns"]["time"].as_array().unwrap().len());
    assert_eq!(rows[0]["median_ms"], hours["columns"]["median_ms"][0]);
    server.stop().await;
}

#[tokio::test]
async fn the_worst_come_first() {
    let server = measured().await;
    let by_p95 = server.get("/api/top?worst=1").await.is(200);
    assert_eq!((&by_p95["by"], &by_p95["destinations"]), (&json!("p95"), &json!(2)));
    assert_eq!(by_p95["items"].as_array().unwrap().len(), 1);
    assert_eq!((&by_p95["items"][0]["destination"], &by_p95["items"][0]["rank"]), (&json!("two"), &json!(1)));
    let by_loss = server.get("/api/top?by=loss").await.is(200);
    assert_eq!(by_loss["items"][0]["value"], json!(33.333333));
    assert_eq!(by_loss["items"][1]["value"], json!(5.555556));
    // Nobody has a figure of a range without samples.
    assert_eq!(server.get("/api/top?start_time=now-9d&end_time=now-8d").await.is(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn an_outage_has_its_cause_and_the_last_good_path() {
    let server = measured().await;
    server.append(vec![trace(NOW - 200 * MINUTE, &[Some("198.51.100.1"), Some("192.0.2.1")])]);
    let outages = server.get("/api/outages?start_time=now-4h").await.is(200);
    assert_eq!(outages["total"], 1);
    let outage = &outages["items"][0];
    assert_eq!((&outage["destination"], &outage["duration_s"]), (&json!("one"), &json!(600.0)));
    assert_eq!((&outage["ongoing"], &outage["cause"]), (&json!(false), &json!("timeout")));
    assert_eq!(outage["first_bad"]["error"], "no answer within 2000 ms");
    assert_eq!(outage["last_good_path"]["hops"][0]["addresses"], json!(["198.51.100.1"]));
    let analytics = server.get("/api/destinations/1/analytics?start_time=now-3h").await.is(200);
    let availability = &analytics["availability"];
    assert_eq!((&availability["outages"], &availability["longest_outage_s"]), (&json!(1), &json!(600.0)));
    assert_eq!(availability["down_s"], 600.0);
    assert_eq!((&outage["counted_s"], &outage["maintenance_s"]), (&json!(600.0), &json!(0.0)));
    assert_eq!(outage["first_bad_path"], Value::Null);
    // Of a range that begins or ends in it, only that part is told, and that it is a part.
    let half = server.get("/api/outages?start_time=now-75m").await.is(200)["items"][0].clone();
    assert_eq!((&half["duration_s"], &half["began_before"]), (&json!(300.0), &json!(true)));
    let open = server.get("/api/outages?start_time=now-4h&end_time=now-75m").await.is(200)["items"][0].clone();
    assert_eq!((&open["end"], &open["ongoing"], &open["duration_s"]), (&Value::Null, &json!(true), &json!(300.0)));
    // While it lasts it has no end.
    server.append((0..2).map(|i| burst(2, NOW - 30_000 + i * 10_000, &[0; 3])).collect());
    let outages = server.get("/api/outages?destination=two").await.is(200);
    assert_eq!((&outages["items"][0]["end"], &outages["items"][0]["ongoing"]), (&Value::Null, &json!(true)));
    server.stop().await;
}

#[tokio::test]
async fn the_list_of_outages_is_that_of_the_saved_account() {
    let server = measured().await;
    server.append(vec![burst(1, NOW - 30_000, &[0; 3]), burst(1, NOW - 10_000, &[1_000; 3])]);
    let range = "start_time=2026-11-24T01:00:00Z&end_time=2026-11-24T04:00:00Z";
    let list = &format!("/api/outages?destination=one&{range}");
    let all = server.get(list).await.is(200);
    assert_eq!((&all["total"], &all["method"]["retries"]), (&json!(2), &json!(0)));
    let analytics = server.get(&format!("/api/destinations/one/analytics?{range}")).await.is(200);
    let account = &analytics["availability"];
    assert_eq!(account["outages"], 2);
    let counted = |list: &Value| -> f64 {
        list["items"].as_array().unwrap().iter().map(|outage| outage["counted_s"].as_f64().unwrap()).sum()
    };
    assert_eq!(account["down_s"].as_f64(), Some(counted(&all)));
    // One failed check is none where a retry may take it back; what was said before stays readable.
    server.send("PATCH", "/api/accounting", &json!({"retries": 1})).await.is(200);
    let long = server.get(list).await.is(200);
    assert_eq!((&long["total"], &long["items"][0]["duration_s"]), (&json!(1), &json!(600.0)));
    let then = server.get(&format!("{list}&as_of={}", all["position"])).await.is(200);
    assert_eq!(then["items"], all["items"]);
    // Maintenance found out later takes its time out, and an outage that lies in it.
    let window = json!({"title": "moved", "start_time": "2026-11-24T02:30:00Z", "end_time": "2026-11-24T03:00:00Z"});
    server.post("/api/maintenance", &window).await.is(201);
    assert_eq!(server.get(list).await.is(200)["total"], 0);
    server.send("PATCH", "/api/accounting", &json!({"maintenance": "counted"})).await.is(200);
    let in_maintenance = server.get(list).await.is(200)["items"][0].clone();
    assert_eq!(in_maintenance["maintenance_s"], in_maintenance["duration_s"]);
    // Another job's checks know of no outage, and nothing is told of what is to come.
    assert_eq!(server.get("/api/outages?job=pings&destination=two").await.is(200)["total"], 0);
    assert_eq!(
        server.get("/api/outages?start_time=2027-01-01T00:00:00Z&end_time=2027-01-02T00:00:00Z").await.is(200)["total"],
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn an_hour_is_unusual_beside_the_same_hour_of_other_weeks() {
    const HOUR: i64 = 60 * MINUTE;
    let server = start().await;
    server.furnish().await;
    // Five weeks, slow in the evenings; in the last day one hour of the night is as slow as an evening.
    let hours = || (1..=35 * 24_i64).rev();
    let slow = |ago: i64| (NOW / HOUR - ago) % 24 >= 18 || ago == 3;
    let micros = |ago: i64| if slow(ago) { 60_000 } else { 10_000 } + u32::try_from(ago % 7).unwrap() * 100;
    server.append(hours().map(|ago| burst(1, NOW - ago * HOUR, &[micros(ago); 3])).collect());
    server.append((1..=5).rev().map(|ago| burst(2, NOW - ago * HOUR, &[0; 3])).collect());
    let found = server.get("/api/anomalies?destination=one").await.is(200);
    assert_eq!((&found["resolution"], &found["anomalous"]), (&json!("3600s"), &json!(1)), "{found}");
    assert_eq!((&found["baseline_hours"], &found["score_not_given"]), (&json!(28 * 24), &Value::Null));
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 24);
    let odd = items.iter().find(|item| item["anomalous"] == true).unwrap();
    assert!(odd["time"].as_str().unwrap().starts_with("2026-11-24T01:00:00"), "{odd}");
    assert!(odd["score"].as_f64().unwrap() > 50.0 && odd["usual"].as_f64().unwrap() < 11.0, "{odd}");
    assert_eq!(odd["usual_n"], 4, "of the same hour of four weeks");
    // An evening is not: it is slow every day.
    assert!(items.iter().any(|item| item["usual"].as_f64().unwrap() > 50.0 && item["anomalous"] == false));
    // What is learned from can be said; there is too little of it, and a range without samples has no hours.
    let few = "/api/anomalies?destination=one&baseline_start_time=now-40h&baseline_end_time=now-30h";
    let few = server.get(few).await.is(200);
    assert_eq!(few["score_not_given"], "n too small: 10 hours before, 24 needed");
    assert_eq!((&few["items"][0]["score"], &few["items"][0]["anomalous"]), (&Value::Null, &Value::Null));
    let lost = server.get("/api/anomalies?destination=two&by=loss").await.is(200);
    assert_eq!((&lost["items"][0]["value"], &lost["items"][0]["score"]), (&json!(100.0), &Value::Null));
    let none = server.get("/api/anomalies?destination=two").await.is(200);
    assert_eq!(none["items"][0]["value"], Value::Null, "lost is no time");
    let empty = server.get("/api/anomalies?destination=one&start_time=now-50d&end_time=now-49d").await.is(200);
    assert_eq!(empty["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_moves_together_comes_first() {
    let server = measured().await;
    server.post("/api/destinations", &json!({"name": "three", "host": "192.0.2.3"})).await.is(201);
    let walk = |minute: i64| u32::try_from(minute * 7_919 % 500).unwrap();
    server.append((0..90).map(|minute| burst(3, NOW - (180 - minute) * MINUTE, &[9_000 + walk(minute)])).collect());
    let found = server.get("/api/correlation?start_time=now-3h").await.is(200);
    assert_eq!(
        (&found["resolution"], &found["exact"], &found["destinations"]),
        (&json!("60s"), &json!(true), &json!(3))
    );
    let items = found["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|pair| (pair["destination"].as_str(), pair["other"].as_str())).collect();
    assert_eq!(names[0], (Some("one"), Some("two")));
    assert_eq!(names.len(), 3);
    // The ten minutes in which one was down have no median: they pair with nothing.
    assert_eq!((&items[0]["n"], &items[0]["pearson"]["r"]), (&json!(170), &json!(1.0)));
    assert_eq!(items[0]["spearman"]["r"], 1.0);
    assert_eq!(items[1]["n"], 90);
    assert!(items[1]["pearson"]["r"].as_f64().unwrap().abs() < 0.5);
    assert!(items[1]["pearson"]["interval"]["low"].as_f64() < items[1]["pearson"]["interval"]["high"].as_f64());
    // Too few to say, or nothing that moves: null, and why.
    let loss = server.get("/api/correlation?destination=two,three&by=loss&start_time=now-3h").await.is(200);
    assert_eq!(loss["items"][0]["pearson"], Value::Null);
    assert_eq!(loss["items"][0]["not_given"], "a figure that never changes");
    let none = server.get("/api/correlation?destination=1,2&start_time=now-9d&end_time=now-8d").await.is(200);
    assert_eq!((&none["items"][0]["n"], &none["items"][0]["pearson"]), (&json!(0), &Value::Null));
    assert_eq!(none["items"][0]["not_given"], "n too small: 0 spans with both, 3 needed");
    // Wider spans for a longer range; a destination alone has no pair.
    let month = server.get("/api/correlation?destination=1,2&start_time=now-30d").await.is(200);
    assert_eq!((&month["resolution"], &month["exact"]), (&json!("3600s"), &json!(false)));
    assert_eq!(server.get("/api/correlation?destination=1,1").await.is(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_correlation_of_too_many_is_refused() {
    let server = start().await;
    server.furnish().await;
    let more = |i: u32| json!({"name": format!("n{i}"), "host": format!("192.0.2.{i}")});
    for i in 3..=50 {
        server.post("/api/destinations", &more(i)).await.is(201);
    }
    assert_eq!(server.get("/api/correlation").await.is(200)["destinations"], 50);
    server.post("/api/destinations", &more(51)).await.is(201);
    server.get("/api/correlation").await.refuses(422, Some("destination"));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_hop_is_no_new_path() {
    let server = start().await;
    server.furnish().await;
    let (a, b, end) = (Some("198.51.100.1"), Some("198.51.100.2"), Some("192.0.2.1"));
    let ways = [[a, a, end], [a, None, end], [a, a, end], [a, b, end], [a, b, end]];
    server.append((0..).zip(&ways).map(|(i, hops)| trace(NOW - (60 - i) * MINUTE, hops)).collect());
    let paths = server.get("/api/paths?destination=1").await.is(200);
    let versions = paths["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|v| v["traces"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(versions[1]["confirmed"], true);
    assert_eq!(paths["diff"]["hops"], json!([{"ttl": 2, "before": ["198.51.100.1"], "after": ["198.51.100.2"]}]));
    let hop = &versions[0]["hops"][0];
    assert!(hop["probes"].as_u64() >= hop["answers"].as_u64() && hop["answers"].as_u64() > Some(0), "{hop}");
    assert!(hop["min_ms"].as_f64() <= hop["median_ms"].as_f64() && hop["median_ms"].as_f64() <= hop["max_ms"].as_f64());
    assert_eq!(hop["p95_ms"], Value::Null, "below 20 answers: {hop}");
    server.get("/api/paths?destination=1&diff=1,3").await.refuses(422, Some("diff"));
    server.stop().await;
}

#[tokio::test]
async fn a_comparison_says_how_much_slower() {
    let server = measured().await;
    let two = server.get("/api/compare?destination=two&other=one&start_time=now-3h").await.is(200);
    let comparison = &two["comparison"];
    assert_eq!((&comparison["effect"], &comparison["effect_size"]), (&json!(1.0), &json!("large")));
    assert!((comparison["shift_ms"].as_f64().unwrap() - 5.0).abs() < 0.002, "{comparison}");
    assert!(comparison["p"].as_f64().unwrap() < 1e-6);
    // With itself, an hour later in the same pattern.
    let same = server
        .get("/api/compare?destination=two&start_time=now-1h&other_start_time=now-2h&other_end_time=now-1h")
        .await
        .is(200);
    assert_eq!(same["comparison"]["effect_size"], "not significant");
    let none = server.get("/api/compare?destination=two&start_time=now-9d&end_time=now-8d").await.is(200);
    assert_eq!(none["comparison"], Value::Null);
    assert!(none["comparison_not_given"].is_string());
    server.stop().await;
}

#[tokio::test]
async fn the_week_is_told_in_the_zone_asked_for() {
    let server = measured().await;
    let cells = |heat: &Value| -> Vec<(usize, usize)> {
        let rows = heat["values"].as_array().unwrap();
        let row = |(day, row): (usize, &Value)| {
            let hours: Vec<_> =
                row.as_array().unwrap().iter().enumerate().map(|(hour, v)| (day, hour, !v.is_null())).collect();
            hours
        };
        rows.iter().enumerate().flat_map(row).filter(|(.., has)| *has).map(|(day, hour, _)| (day, hour)).collect()
    };
    // 2026-11-24T01:00Z to 04:00Z, a Tuesday.
    let utc = server.get("/api/heatmap?destination=1").await.is(200);
    assert_eq!(cells(&utc), [(1, 1), (1, 2), (1, 3)]);
    let pago = server.get("/api/heatmap?destination=1&by=loss&tz=Pacific/Pago_Pago").await.is(200);
    assert_eq!(cells(&pago), [(0, 14), (0, 15), (0, 16)]);
    assert_eq!((utc["days"][0].as_str(), &utc["n"][1][1]), (Some("mon"), &json!(180)));
    server.stop().await;
}

#[tokio::test]
async fn runs_of_failed_checks_are_counted_and_wrong_answers_satisfy_nobody() {
    let server = start().await;
    server.furnish().await;
    let outcomes = [
        TcpOutcome::Connected(Rtt::from_micros(900)),
        TcpOutcome::Timeout,
        TcpOutcome::Refused(Rtt::from_micros(100)),
        TcpOutcome::Local(24),
        TcpOutcome::Timeout,
        TcpOutcome::Connected(Rtt::from_micros(900)),
    ];
    let events = (0..).zip(outcomes).map(|(minute, outcome)| {
        let Event::PingMeasured(PingMeasured { head, address, .. }) = ping(1, 1, NOW - (10 - minute) * MINUTE) else {
            unreachable!()
        };
        Event::TcpMeasured(TcpMeasured { head, address, port: 443, outcome })
    });
    server.append(events.collect());
    let found = server.get("/api/destinations/1/analytics?metric=tcp&start_time=now-1h").await.is(200);
    // What our own system could not do is no check: it neither breaks a run nor makes it longer.
    let packets = &found["packets"];
    assert_eq!((&packets["longest_loss_run"], &packets["loss_periods"]), (&json!(3), &json!(1)), "{packets}");
    assert_eq!(packets["apdex"], json!(0.4), "two of five checks");
    assert_eq!(found["course"]["exact"], json!(true));
    assert_eq!(found["course"]["trend_interval_ms_per_day"], Value::Null, "from two points");
    server.stop().await;
}

#[tokio::test]
async fn analytics_look_at_each_packet_where_they_can() {
    let server = measured().await;
    let one = server.get("/api/destinations/two/analytics?start_time=now-3h&apdex_t_ms=6").await.is(200);
    assert_eq!((&one["resolution"], &one["figures"]["packet_loss_percent"]), (&json!("raw"), &json!(33.333333)));
    assert_eq!((&one["packets"]["longest_loss_run"], &one["packets"]["loss_periods"]), (&json!(1), &json!(180)));
    // Two of three answers come, of these 60 in 180 minutes over 6.030 ms... none over 4 T: those tolerate.
    assert!(one["packets"]["apdex"].as_f64().unwrap() < 0.67);
    assert!(one["derived"]["packet_loss_interval_percent"]["low"].as_f64().unwrap() > 25.0);
    assert!(one["course"]["points"].as_u64().unwrap() > 0);
    let counts = one["packets"]["histogram"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 360);
    let job = server.get("/api/jobs/pings/analytics?start_time=now-3h").await.is(200);
    assert_eq!(job["items"].as_array().unwrap().len(), 2);
    assert_eq!(job["items"][1]["figures"]["packet_loss_percent"], json!(33.333333));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_named_with_what_can() {
    let server = measured().await;
    for (path, field) in [
        ("/api/series", "destination"),
        ("/api/series?destination=nobody", "destination"),
        ("/api/series?destination=1&max_points=0", "max_points"),
        ("/api/series?destination=1&max_points=10001", "max_points"),
        ("/api/series?destination=1&format=xml", "format"),
        ("/api/series?destination=1&start_time=now-1y", "start_time"),
        ("/api/series?destination=1&start_time=now&end_time=now-1h", "start_time"),
        ("/api/series?destination=1&metric=pong", "metric"),
        ("/api/series?destination=1&job=nothing", "job"),
        ("/api/top?by=worst", "by"),
        ("/api/top?worst=1001", "worst"),
        ("/api/heatmap?destination=1&tz=Mars/Olympus", "tz"),
        ("/api/heatmap", "destination"),
        ("/api/outages?limit=1001", "limit"),
        ("/api/outages?destination=1,nobody", "destination"),
        ("/api/outages?job=nothing", "job"),
        ("/api/anomalies", "destination"),
        ("/api/anomalies?destination=1&by=worst", "by"),
        ("/api/anomalies?destination=1&tz=Mars/Olympus", "tz"),
        ("/api/anomalies?destination=1&start_time=now-10001h", "start_time"),
        ("/api/anomalies?destination=1&baseline_start_time=now-10001h", "baseline_start_time"),
        ("/api/anomalies?destination=1&baseline_start_time=now&baseline_end_time=now-1h", "baseline_start_time"),
        ("/api/correlation?destination=1,nobody", "destination"),
        ("/api/compare", "destination"),
        ("/api/compare?destination=1&other=nobody", "other"),
        ("/api/destinations/1/analytics?apdex_t_ms=0", "apdex_t_ms"),
        ("/api/series?destination=1&as_of=99999999", "as_of"),
    ] {
        let problem = server.get(path).await.refuses(422, Some(field));
        assert!(problem["accepted"].is_string() || problem["hint"].is_string(), "{path}: {problem}");
    }
    server.get("/api/destinations/9/analytics").await.refuses(404, None);
    server.get("/api/jobs/9/analytics").await.refuses(404, None);
    server.stop().await;
}
