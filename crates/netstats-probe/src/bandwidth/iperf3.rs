//! Against an iperf3 server, by its own protocol (as iperf 3.1 to 3.19 speak it).

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::meter::{Meter, throughput, without_buffered};
use super::protocol::Way;
use super::responder::noise;
use super::{Moved, Plan, stream_to};
use crate::clock::now;
use crate::limits::{CHUNK_BYTES, MAX_JSON_BYTES};
use crate::platform;

const COOKIE_BYTES: usize = 37;

// States, as one byte on the control connection.
const TEST_START: i8 = 1;
const TEST_RUNNING: i8 = 2;
const TEST_END: i8 = 4;
const PARAM_EXCHANGE: i8 = 9;
const CREATE_STREAMS: i8 = 10;
const EXCHANGE_RESULTS: i8 = 13;
const DISPLAY_RESULTS: i8 = 14;
const IPERF_DONE: i8 = 16;
const ACCESS_DENIED: i8 = -1;
const SERVER_ERROR: i8 = -2;

type Stop = tokio::sync::watch::Receiver<bool>;

pub(super) async fn run(plan: &Plan, way: Way) -> Result<Moved, String> {
    let mut control = stream_to(plan).await?;
    let cookie = cookie();
    control.write_all(&cookie).await.map_err(broke)?;
    let meter = Arc::new(Meter::new(plan.max_bytes));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut streams: JoinSet<(u64, Option<u32>)> = JoinSet::new();
    let mut ready = Vec::new();
    let (mut moved, mut retransmits, mut received_there) = (Vec::new(), None, None);
    loop {
        match state(&mut control).await? {
            PARAM_EXCHANGE => {
                let mut parameters = json!({
                    "tcp": true, "omit": 0, "time": plan.duration.as_secs(), "parallel": plan.streams,
                    "len": CHUNK_BYTES, "pacing_timer": 1000, "client_version": "3.12",
                });
                // The server looks whether it is there, not what it says.
                if way == Way::Down {
                    parameters["reverse"] = json!(true);
                }
                send_json(&mut control, &parameters).await?;
            }
            CREATE_STREAMS => {
                for _ in 0..plan.streams {
                    let mut stream = stream_to(plan).await?;
                    stream.write_all(&cookie).await.map_err(broke)?;
                    ready.push(stream);
                }
            }
            TEST_START => {}
            TEST_RUNNING => {
                for stream in ready.drain(..) {
                    streams.spawn(transfer(stream, way, Arc::clone(&meter), stopped.clone()));
                }
                let end = now() + plan.duration;
                while now() < end && !meter.is_spent() {
                    let step = (now() + std::time::Duration::from_millis(20)).min(end);
                    tokio::time::sleep_until(step.into()).await;
                }
                let _ = stop.send(true);
                send_state(&mut control, TEST_END).await?;
                while let Some(ended) = streams.join_next().await {
                    let (bytes, again) = ended.map_err(|error| error.to_string())?;
                    moved.push(bytes);
                    retransmits = again.map(|again| again + retransmits.unwrap_or(0)).or(retransmits);
                }
            }
            EXCHANGE_RESULTS => {
                send_json(&mut control, &results(&moved, retransmits)).await?;
                let theirs = read_json(&mut control).await?;
                received_there = received(&theirs);
                if way == Way::Down {
                    retransmits = resent(&theirs);
                }
            }
            DISPLAY_RESULTS => {
                send_state(&mut control, IPERF_DONE).await?;
                break;
            }
            ACCESS_DENIED => return Err("the iperf3 server is busy with another test".to_owned()),
            SERVER_ERROR => return Err("the iperf3 server has failed".to_owned()),
            other => return Err(format!("this is no iperf3 server: it is in state {other}")),
        }
    }
    let bins = match (way, received_there) {
        (Way::Up, Some(received)) => without_buffered(meter.whole_bins(), meter.total(), received),
        _ => meter.whole_bins(),
    };
    Ok(Moved {
        throughput: throughput(bins, plan.duration, retransmits),
        bytes: meter.total(),
        is_cut: meter.is_spent(),
    })
}

/// One data connection, until told to stop.
async fn transfer(mut stream: TcpStream, way: Way, meter: Arc<Meter>, mut stopped: Stop) -> (u64, Option<u32>) {
    let mut buffer = noise(CHUNK_BYTES);
    let mut bytes = 0;
    loop {
        let count = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            count = async {
                match way {
                    Way::Down => stream.read(&mut buffer).await,
                    Way::Up => stream.write(&buffer).await,
                }
            } => count,
        };
        match count {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                bytes += count as u64;
                meter.add(count);
            }
        }
    }
    (bytes, if way == Way::Up { platform::retransmits(&stream) } else { None })
}

/// Bytes that the other side has received, by its results; none if they do not say.
pub(super) fn received(results: &Value) -> Option<u64> {
    let mut bytes = results["streams"].as_array()?.iter().filter_map(|stream| stream["bytes"].as_u64());
    bytes.try_fold(0_u64, u64::checked_add)
}

/// Segments that it has sent again; none if it does not say of every stream.
pub(super) fn resent(results: &Value) -> Option<u32> {
    let mut streams = results["streams"].as_array()?.iter();
    streams.try_fold(0_u32, |sum, stream| sum.checked_add(u32::try_from(stream["retransmits"].as_u64()?).ok()?))
}

/// What this side has to tell; the numbers of streams are iperf3's (there is no 2).
fn results(moved: &[u64], retransmits: Option<u32>) -> Value {
    let streams: Vec<Value> = moved
        .iter()
        .enumerate()
        .map(|(at, bytes)| {
            let id = if at == 0 { 1 } else { at + 2 };
            json!({"id": id, "bytes": bytes, "retransmits": -1, "jitter": 0, "errors": 0, "packets": 0,
                "start_time": 0, "end_time": 0})
        })
        .collect();
    json!({"cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0,
        "sender_has_retransmits": i32::from(retransmits.is_some()), "streams": streams})
}

fn cookie() -> [u8; COOKIE_BYTES] {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut cookie = [0; COOKIE_BYTES];
    let _ = getrandom::fill(&mut cookie[..COOKIE_BYTES - 1]);
    for byte in &mut cookie[..COOKIE_BYTES - 1] {
        *byte = LETTERS[usize::from(*byte % 32)];
    }
    cookie
}

fn broke(error: std::io::Error) -> String {
    format!("the iperf3 server broke off: {error}")
}

async fn state(control: &mut TcpStream) -> Result<i8, String> {
    control.read_i8().await.map_err(broke)
}

async fn send_state(control: &mut TcpStream, state: i8) -> Result<(), String> {
    control.write_i8(state).await.map_err(broke)
}

async fn send_json(control: &mut TcpStream, value: &Value) -> Result<(), String> {
    let text = value.to_string();
    let length = u32::try_from(text.len()).map_err(|error| error.to_string())?;
    control.write_all(&[&length.to_be_bytes()[..], text.as_bytes()].concat()).await.map_err(broke)
}

async fn read_json(control: &mut TcpStream) -> Result<Value, String> {
    let length = control.read_u32().await.map_err(broke)?;
    if length > MAX_JSON_BYTES {
        return Err(format!("the iperf3 server's results are {length} bytes long"));
    }
    let mut text = vec![0; length as usize];
    control.read_exact(&mut text).await.map_err(broke)?;
    serde_json::from_slice(&text).map_err(|error| format!("the iperf3 server's results cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_results_are_summed_and_absurd_ones_are_none() {
        let results = json!({"streams": [{"bytes": 7, "retransmits": 1}, {"bytes": 5, "retransmits": 2}]});
        assert_eq!((received(&results), resent(&results)), (Some(12), Some(3)));
        let absurd = json!({"streams": [{"bytes": u64::MAX, "retransmits": u32::MAX}, {"bytes": 1, "retransmits": 1}]});
        assert_eq!((received(&absurd), resent(&absurd)), (None, None));
        assert_eq!((received(&json!({})), resent(&json!({"streams": [{}]}))), (None, None));
    }
}
