//! Where response times go over days: trends, levels, rhythms, and words that follow the figures.

mod support;

use netstats_event::{Echo, Event, Rtt};
use serde_json::{Value, json};
use support::{NOW, Server, ping, start};

const HOUR: i64 = 3_600_000;

/// A burst of three, each of `micros`, and a little noise that is the same in every run.
fn burst(destination: u32, slot: i64, micros: i64) -> Event {
    let mut event = ping(1, destination, slot);
    let mut state = slot.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(destination) << 40;
    state = (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state ^= state >> 32;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap() % 61 - 30
    };
    if let Event::PingMeasured(burst) = &mut event {
        burst.echoes =
            (0..3).map(|_| Echo::Reply(Rtt::from_micros(u32::try_from(micros + noise()).unwrap()))).collect();
    }
    event
}

/// Samples every `step` milliseconds up to now, as slow as `micros` says of the milliseconds before now.
fn append(server: &Server, destination: u32, from: i64, step: i64, micros: impl Fn(i64) -> i64) {
    let slots = (1..=from / step).rev().map(|i| i * step);
    let events: Vec<Event> = slots.map(|ago| burst(destination, NOW - ago, micros(ago))).collect();
    for some in events.chunks(5_000) {
        server.append(some.to_vec());
    }
}

async fn course(server: &Server, destination: u32, from: &str) -> Value {
    let path = format!("/api/destinations/{destination}/analytics?start_time={from}&end_time=now");
    server.get(&path).await.is(200)["course"].clone()
}

#[tokio::test]
async fn a_trend_smaller_than_a_sketchs_step_is_still_seen_and_has_an_interval_or_a_reason() {
    let server = start().await;
    server.furnish().await;
    // 20 ms, rising by 0.02 ms a day: over 60 days 1.2 ms, in hours of which each is one step of a sketch after another.
    append(&server, 1, 60 * 24 * HOUR, 20 * 60_000, |ago| 20_000 + (60 * 24 * HOUR - ago) * 20 / (24 * HOUR));
    append(&server, 2, 30 * 24 * HOUR, 20 * 60_000, |_| 20_000);
    let found = course(&server, 1, "now-40d").await;
    assert_eq!((&found["exact"], &found["trend_of"]), (&json!(false), &json!("means, 3600s")), "{found}");
    let interval = &found["trend_interval_ms_per_day"];
    let (low, high) = (interval["low"].as_f64().unwrap(), interval["high"].as_f64().unwrap());
    assert!(low < high && low > 0.015 && high < 0.025, "{found}");
    assert!((found["trend_ms_per_day"].as_f64().unwrap() - 0.02).abs() < 0.002, "{found}");
    assert_eq!((&found["trend_not_given"], &found["trend_interval_not_given"]), (&Value::Null, &Value::Null));
    // Level: nothing but noise. The interval says that it may be 0, and has a width.
    let level = course(&server, 2, "now-30d").await;
    let interval = &level["trend_interval_ms_per_day"];
    assert!(interval["low"].as_f64().unwrap() < 0.0 && interval["high"].as_f64().unwrap() > 0.0, "{level}");
    server.stop().await;
}

#[tokio::test]
async fn an_interval_without_width_is_not_given_and_a_trend_of_nothing_has_a_reason() {
    let server = start().await;
    server.furnish().await;
    // The fixed burst of the tests: always the same times.
    server.append((1..=30).rev().map(|i| ping(1, 1, NOW - i * 60_000)).collect());
    let found = course(&server, 1, "now-1h").await;
    assert_eq!((&found["trend_ms_per_day"], &found["trend_interval_ms_per_day"]), (&json!(0.0), &Value::Null));
    assert!(found["trend_interval_not_given"].as_str().unwrap().contains("no spread"), "{found}");
    let few = course(&server, 1, "now-3m").await;
    assert_eq!(few["trend_interval_not_given"], "n too small: 3 points, 6 needed");
    let one = course(&server, 1, "now-1m").await;
    assert_eq!(
        (&one["trend_ms_per_day"], &one["trend_not_given"]),
        (&Value::Null, &json!("n too small: 1 points, 2 needed"))
    );
    let none = course(&server, 2, "now-1h").await;
    assert_eq!((&none["points"], &none["trend_not_given"]), (&json!(0), &json!("n too small: 0 points, 2 needed")));
    server.stop().await;
}

/// Slow in the evenings.
fn evening(ago: i64) -> i64 {
    if ((NOW - ago) / HOUR).rem_euclid(24) >= 18 { 24_000 } else { 12_000 }
}

#[tokio::test]
async fn a_daily_rhythm_is_no_change_of_level_and_a_shift_on_top_of_it_is_one() {
    let server = start().await;
    server.furnish().await;
    let shifted_ago = 4 * 24 * HOUR + 7 * HOUR;
    append(&server, 1, 10 * 24 * HOUR, 10 * 60_000, evening);
    append(&server, 2, 10 * 24 * HOUR, 10 * 60_000, |ago| evening(ago) + if ago <= shifted_ago { 3_000 } else { 0 });
    for from in ["now-3d", "now-6d", "now-10d"] {
        let rhythm = course(&server, 1, from).await;
        assert_eq!((&rhythm["season"], &rhythm["level_changes"]), (&json!("day"), &json!([])), "{from}: {rhythm}");
    }
    for from in ["now-6d", "now-10d"] {
        let found = course(&server, 2, from).await;
        let changes = found["level_changes"].as_array().unwrap();
        assert_eq!((&found["season"], changes.len()), (&json!("day"), 1), "{from}: {found}");
        let at: jiff::Timestamp = changes[0]["time"].as_str().unwrap().parse().unwrap();
        assert!((at.as_millisecond() - (NOW - shifted_ago)).abs() <= 2 * HOUR, "{found}");
        let step = changes[0]["after_ms"].as_f64().unwrap() - changes[0]["before_ms"].as_f64().unwrap();
        assert!((step - 3.0).abs() < 0.6, "{found}");
    }
    // A day is too short to know what comes back.
    assert_eq!(course(&server, 1, "now-1d").await["season"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn an_effect_that_may_be_chance_has_no_size() {
    let server = start().await;
    server.furnish().await;
    append(&server, 1, 3 * HOUR, 60_000, |_| 20_000);
    append(&server, 2, 3 * HOUR, 60_000, |_| 21_000);
    let compare = async |query: &str| server.get(&format!("/api/compare?{query}")).await.is(200)["comparison"].clone();
    // One sample beside one: all pairs go one way, and that says nothing.
    let one = compare("destination=1&other=2&start_time=now-1m&end_time=now").await;
    assert_eq!(
        (&one["p"], &one["effect"], &one["effect_size"]),
        (&json!(1.0), &json!(-1.0), &json!("not significant"))
    );
    let many = compare("destination=1&other=2&start_time=now-1h&end_time=now").await;
    assert_eq!(many["effect_size"], "large");
    // Of sides of different length the same is compared: both in spans of the coarser one.
    append(&server, 2, 70 * HOUR, 60_000 / 2, |_| 21_000);
    let sides =
        "/api/compare?destination=1&start_time=now-3h&end_time=now&other=2&other_start_time=now-70h&other_end_time=now";
    let sides = server.get(sides).await.is(200);
    assert_eq!(sides["side"]["compared_values"], sides["other"]["compared_values"], "{sides}");
    assert_ne!(sides["other"]["compared_values"], "medians, raw");
    let same = compare("destination=1&start_time=now-1h&end_time=now").await;
    assert!(same["p"].as_f64().unwrap() >= 0.05, "{same}");
    assert_eq!(same["effect_size"], "not significant");
    server.stop().await;
}
