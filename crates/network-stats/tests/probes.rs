//! Every kind of probe through the real program: from the config file to the rows of the metrics route. All on the
//! loopback.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::{Product, close_to_others, program};

/// Answers `www.test` with 192.0.2.7, as a DNS server does.
fn dns_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut query = [0; 2_048];
        while let Ok((count, from)) = socket.recv_from(&mut query) {
            // The question ends five bytes behind the end of its name; what follows (EDNS) is not repeated.
            let name_end = 12 + query[12..count].iter().position(|byte| *byte == 0).unwrap();
            let mut reply = query[..name_end + 5].to_vec();
            reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 7]);
            socket.send_to(&reply, from).unwrap();
        }
    });
    port
}

/// Says 200 and a word to every request.
fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut request = [0; 4_096];
                if stream.read(&mut request).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
                }
            });
        }
    });
    port
}

/// `network-stats responder`, ended when dropped.
struct Responder(Child, u16);

impl Responder {
    fn start(token: &Path) -> Self {
        let mut child = program(&["responder", "--at", "127.0.0.1:0", "--max-mbps", "80", "--token-file"])
            .arg(token)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let port = line.rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        Self(child, port)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_kind_of_probe_reaches_the_metrics_of_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("secrets")).unwrap();
    close_to_others(&data);
    std::fs::write(data.join("secrets/lab"), "a token of this test only\n").unwrap();
    let responder = Responder::start(&data.join("secrets/lab"));
    let (dns, web) = (dns_server(), web_server());
    let config = format!(
        r#"(
            limits: (min_interval_s: 1),
            destinations: [(name: "here", host: "127.0.0.1", port: {web})],
            jobs: [
                (name: "tcp", interval: "2s", metrics: [tcp], destinations: ["here"], tcp: (timeout: "1s")),
                (name: "http", interval: "2s", metrics: [http], destinations: ["here"],
                 http: (tls: false, expect_body: "hello", timeout: "1s")),
                (name: "dns", interval: "2s", metrics: [dns], destinations: ["here"],
                 dns: (name: "www.test", server: "127.0.0.1:{dns}", expect_answers: ["192.0.2.7"], timeout: "1s")),
                (name: "route", interval: "5s", metrics: [traceroute], destinations: ["here"],
                 traceroute: (max_hops: 3, timeout: "1s", reverse_names: false)),
                (name: "speed", interval: "30s", metrics: [bandwidth], destinations: ["here"],
                 bandwidth: (port: {port}, duration: "2s", credential: "lab")),
            ],
        )"#,
        port = responder.1
    );
    let file = folder.path().join("test.ron");
    std::fs::write(&file, config).unwrap();
    let product = Product::start(&data, &["--config", file.to_str().unwrap()]);
    let row = |job: &str| {
        let path = format!("/api/jobs/{job}/metrics");
        let rows = product.until(&path, |rows| rows.as_array().is_some_and(|rows| !rows.is_empty()));
        rows[0].clone()
    };

    let tcp = row("tcp");
    assert_eq!((&tcp["status"], &tcp["metric"]), (&json!("success"), &json!("tcp")), "{tcp}");
    assert!(tcp["response_time_ms"].as_f64().unwrap() > 0.0);
    let http = row("http");
    assert_eq!((&http["status"], &http["http_status"]), (&json!("success"), &json!(200)), "{http}");
    assert!(http["http_first_byte_ms"].as_f64().unwrap() > 0.0 && http["http_tls_ms"].is_null(), "{http}");
    let dns = row("dns");
    assert_eq!((&dns["status"], &dns["resolved_address"]), (&json!("success"), &Value::Null), "{dns}");
    assert!(dns["dns_answers"] == "192.0.2.7", "{dns}");
    let speed = row("speed");
    assert_eq!(speed["status"], "success", "{speed}");
    for way in ["down_mbps", "up_mbps"] {
        assert!((20.0..100.0).contains(&speed[way].as_f64().unwrap()), "80 Mbit/s at most: {speed}");
    }
    if product.get("/api/health")["privileges"]["icmp"].is_null() {
        println!("SKIP: this system does not let the tests send ICMP echoes");
        return;
    }
    let route = row("route");
    assert_eq!((&route["status"], &route["hop_count"]), (&json!("success"), &json!(1)), "{route}");
}
