//! Against a responder of ours.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::meter::{Meter, throughput};
use super::protocol::{self, TestRequest, TokenKey, Way};
use super::responder::noise;
use super::{Moved, Plan, stream_to};
use crate::clock::now;
use crate::limits::CHUNK_BYTES;
use crate::platform;

pub(super) async fn run(plan: &Plan, way: Way) -> Result<Moved, String> {
    let token = plan.secret.as_deref().ok_or("no token: name the stored one in `options.bandwidth.credential`")?;
    let key = TokenKey::of(token);
    let meter = Arc::new(Meter::new(plan.max_bytes));
    let mut streams = JoinSet::new();
    for _ in 0..plan.streams {
        let (key, plan, meter) = (key.clone(), plan.clone(), Arc::clone(&meter));
        streams.spawn(async move {
            let mut stream = stream_to(&plan).await?;
            let max_bytes = plan.max_bytes / u64::from(plan.streams).max(1);
            let duration_ms = u32::try_from(plan.duration.as_millis()).unwrap_or(u32::MAX);
            protocol::ask(&mut stream, &key, TestRequest { way, duration_ms, max_bytes }).await?;
            match way {
                Way::Down => receive(&mut stream, &meter).await.map(|()| (Vec::new(), None)),
                Way::Up => send(&mut stream, &meter, &plan).await,
            }
            .map_err(|error| format!("the test broke off: {error}"))
        });
    }
    let (mut theirs, mut retransmits): (Vec<u32>, Option<u32>) = (Vec::new(), None);
    while let Some(ended) = streams.join_next().await {
        let (bins, again) = ended.map_err(|error| error.to_string())??;
        theirs.resize(theirs.len().max(bins.len()), 0);
        theirs.iter_mut().zip(bins).for_each(|(sum, bin)| *sum = sum.saturating_add(bin));
        retransmits = again.map(|again| again + retransmits.unwrap_or(0)).or(retransmits);
    }
    let bins = if way == Way::Up { theirs } else { meter.whole_bins() };
    Ok(Moved {
        throughput: throughput(bins, plan.duration, retransmits),
        bytes: meter.total(),
        is_cut: meter.is_spent(),
    })
}

async fn receive(stream: &mut TcpStream, meter: &Meter) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 || !meter.add(count) {
            return Ok(());
        }
    }
}

async fn send(stream: &mut TcpStream, meter: &Meter, plan: &Plan) -> std::io::Result<(Vec<u32>, Option<u32>)> {
    let chunk = noise(CHUNK_BYTES);
    let end = now() + plan.duration;
    while now() < end {
        // A full buffer must not hold us past the end.
        match tokio::time::timeout_at(end.into(), stream.write_all(&chunk)).await {
            Ok(written) => written?,
            Err(_) => break,
        }
        if !meter.add(chunk.len()) {
            break;
        }
    }
    let retransmits = platform::retransmits(stream);
    stream.shutdown().await?;
    Ok((protocol::read_bins(stream).await?, retransmits))
}
