//! What clients of Prometheus get, and that the dashboard we ship asks nothing that is not answered.

mod support;

use netstats_event::Event;
use serde_json::{Value, json};
use support::{NOW, Server, ping, start};

const BASE: &str = "/api/prometheus/api/v1";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn get(server: &Server, path: &str) -> Value {
    let told = server.get(&format!("{BASE}/{path}")).await.is(200);
    assert_eq!(told["status"], "success", "{told}");
    told["data"].clone()
}

/// Ten minutes of pings each minute, up to now; the second destination loses everything.
async fn measured() -> Server {
    let server = start().await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/one", &json!({"tags": ["lan"]})).await.is(200);
    let mut events = Vec::new();
    for minute in 0..10 {
        let at = NOW - 60_000 * (9 - minute);
        let mut answered = ping(1, 1, at);
        if let Event::PingMeasured(sample) = &mut answered {
            // Two answers in a row have a jitter.
            sample.echoes.swap(1, 2);
        }
        events.push(answered);
        let mut lost = ping(1, 2, at);
        if let Event::PingMeasured(sample) = &mut lost {
            sample.echoes.fill(netstats_event::Echo::Lost);
        }
        events.push(lost);
    }
    server.append(events);
    server
}

#[tokio::test]
async fn an_instant_question_gives_what_was_measured_last() {
    let server = measured().await;
    let data = get(&server, &format!("query?query={}", encoded("network_stats_rtt_seconds{stat=\"median\"}"))).await;
    let expected = json!({"resultType": "vector", "result": [{
        "metric": {"__name__": "network_stats_rtt_seconds", "destination": "one", "job": "pings", "probe": "ping",
            "stat": "median", "tags": "lan"},
        "value": [NOW as f64 / 1e3, "0.002"]}]});
    assert_eq!(data, expected, "what was lost has no round trip");
    let loss =
        get(&server, &format!("query?query={}", encoded("100 * network_stats_packet_loss_ratio{destination=\"two\"}")))
            .await;
    assert_eq!(loss["result"][0]["value"][1], "100");
    // What Grafana asks to see whether anybody is there.
    assert_eq!(get(&server, "query?query=1%2B1").await["result"][1], "2");
    let old = get(&server, &format!("query?query=network_stats_jitter_seconds&time={}", NOW / 1_000 + 3_600)).await;
    assert_eq!(old["result"], json!([]), "an hour later it says nothing any more");
    server.stop().await;
}

#[tokio::test]
async fn a_range_has_a_figure_for_each_step_and_a_gap_where_there_is_none() {
    let server = measured().await;
    let (from, to) = (NOW / 1_000 - 1_200, NOW / 1_000);
    let query = encoded("network_stats_packet_loss_ratio{destination=\"two\"}");
    let data = get(&server, &format!("query_range?query={query}&start={from}&end={to}&step=60s")).await;
    assert_eq!(data["resultType"], "matrix");
    let values = data["result"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 10, "before the first there is none: {data}");
    assert_eq!((&values[0], &values[9]), (&json!([(to - 540) as f64, "1"]), &json!([to as f64, "1"])));
    let mean = encoded("avg(avg_over_time(network_stats_packet_loss_ratio[10m]))");
    let data = get(&server, &format!("query_range?query={mean}&start={to}&end={to}&step=1")).await;
    let value: f64 = data["result"][0]["values"][0][1].as_str().unwrap().parse().unwrap();
    assert!((value - (1.0 + 1.0 / 3.0) / 2.0).abs() < 1e-9, "{value}");
    server.stop().await;
}

#[tokio::test]
async fn labels_series_and_metadata_are_told_and_forms_are_taken() {
    let server = measured().await;
    assert_eq!(get(&server, "labels").await, json!(["__name__", "destination", "job", "probe", "stat", "tags"]));
    assert_eq!(get(&server, "label/destination/values").await, json!(["one", "two"]));
    let lan = encoded("{tags=\"lan\"}");
    assert_eq!(get(&server, &format!("label/destination/values?match[]={lan}")).await, json!(["one"]));
    let two = encoded("network_stats_jitter_seconds");
    let both = get(&server, &format!("series?match[]={lan}&match[]={two}&start=0&end=1")).await;
    assert_eq!(both.as_array().unwrap().len(), 10, "{both}");
    assert_eq!(
        get(&server, "metadata?metric=network_stats_jitter_seconds").await["network_stats_jitter_seconds"][0]["type"],
        "gauge"
    );
    assert!(get(&server, "status/buildinfo").await["version"].is_string());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let told = server.ask("POST", &format!("{BASE}/query"), &headers, Some(b"query=1%2B2&time=1000")).await.is(200);
    assert_eq!(told["data"]["result"], json!([1_000.0, "3"]));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_the_shape_that_clients_read() {
    let server = measured().await;
    let (from, to) = (NOW / 1_000 - 600, NOW / 1_000);
    for (path, says) in [
        ("query".to_owned(), "query is missing"),
        (format!("query?query={}", encoded("rate(x[5m])")), "is not known here"),
        ("query?query=x&time=yesterday".to_owned(), "time is"),
        (format!("query_range?query=x&start={from}&end={to}&step=0"), "step"),
        (format!("query_range?query=x&start={to}&end={from}&step=1"), "before start"),
        (format!("query_range?query=x&start=0&end={to}&step=1"), "11000 at most"),
        ("series".to_owned(), "match[]"),
        ("labels?match[]=%7B".to_owned(), "expected ="),
    ] {
        let told = server.get(&format!("{BASE}/{path}")).await.is(400);
        assert_eq!((&told["status"], &told["errorType"]), (&json!("error"), &json!("bad_data")), "{path}");
        assert!(told["error"].as_str().unwrap().contains(says), "{path}: {told}");
    }
    server.get(&format!("{BASE}/query?query=1&query=2")).await.refuses(422, Some("query"));
    server.stop().await;
}

#[tokio::test]
async fn the_dashboard_asks_nothing_that_is_not_answered() {
    let server = measured().await;
    let dashboard: Value = serde_json::from_str(include_str!("../../../docs/grafana/network-stats.json")).unwrap();
    let (from, to) = (NOW / 1_000 - 86_400, NOW / 1_000);
    let mut answered = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap().replace("$job", ".+").replace("$destination", "one|two");
            let query = encoded(&expr);
            let data = if target["instant"] == true {
                get(&server, &format!("query?query={query}")).await
            } else {
                get(&server, &format!("query_range?query={query}&start={from}&end={to}&step=60")).await
            };
            let has_figures = !data["result"].as_array().unwrap().is_empty();
            // Nothing but pings was measured.
            assert_eq!(has_figures, !expr.contains("response_time"), "{}: {data}", panel["title"]);
            answered += 1;
        }
    }
    assert_eq!(answered, 6);
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().skip(1) {
        let query = variable["query"]["query"].as_str().unwrap();
        let (metric, label) =
            query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.split_once(", ")).unwrap();
        let values = get(&server, &format!("label/{label}/values?match[]={metric}")).await;
        assert!(!values.as_array().unwrap().is_empty(), "{query}");
    }
    server.stop().await;
}
