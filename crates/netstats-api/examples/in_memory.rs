//! The API on an empty log in memory, to try it or to load it:
//!
//! ```sh
//! cargo run --release -p netstats-api --example in_memory
//! curl -s http://localhost:8081/api/jobs/1
//! ```

use std::sync::Arc;

use netstats_api::{Api, ApiContext};
use netstats_broadcast::BroadcastProjector;
use netstats_event::{DestinationSpec, JobSpec, Meta, Metric, Timestamp};
use netstats_inventory::{Command, InventoryProjector, Policy, decide};
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Runner};
use netstats_series::{AvailabilityProjector, SeriesProjector};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let journal = Journal::open(Arc::new(MemoryLog::default()))?;
    let (inventory_projector, inventory) = InventoryProjector::new();
    let (series_projector, series) = SeriesProjector::new();
    let (availability_projector, availability) = AvailabilityProjector::new();
    let (broadcast_projector, broadcaster) = BroadcastProjector::new();
    let projectors: Vec<Box<dyn netstats_projector::Projector>> = vec![
        Box::new(inventory_projector),
        Box::new(series_projector),
        Box::new(availability_projector),
        Box::new(broadcast_projector),
    ];
    let runner = Arc::new(Runner::start(journal.clone(), Arc::new(MemoryViews::default()), projectors)?);

    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3);
    let meta = Meta::by("system");
    let carry_out = |command| -> Result<(), Box<dyn std::error::Error>> {
        let appended = journal.append(decide(&inventory.current(), command, &meta, &Policy::default())?)?;
        let _ = runner.wait_for(appended.last, std::time::Duration::from_secs(5));
        Ok(())
    };
    for i in 1..=count {
        let (name, host) = (format!("destination-{i}"), format!("192.0.2.{}", i % 250));
        carry_out(Command::AddDestination(DestinationSpec { name, host, ..Default::default() }))?;
    }
    let destinations = inventory.current().destinations.keys().take(3).copied().collect();
    carry_out(Command::AddJob(JobSpec {
        name: "pings".to_owned(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping, Metric::PacketLoss, Metric::Jitter],
        destinations,
        ..Default::default()
    }))?;

    #[expect(clippy::disallowed_methods, reason = "an example is wired like the program, and reads the clock itself")]
    let clock = Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0))
    });
    let context = ApiContext::new(journal.clone(), runner.clone(), inventory, series, availability, broadcaster, clock);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = netstats_api::bind("127.0.0.1:8081".parse()?).await?;
        Api::new(context).serve(vec![listener], std::future::pending()).await?;
        Ok(())
    })
}
