//! The running product: everything started in order, and stopped in order.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use netstats_api::{
    Api, ApiContext, CollectorReport, Limits, PrivilegesReport, ProbeAsk, ProbeHook, Probed, ProblemReport,
    ReloadRefused, Reloaded, Report, Tls,
};
use netstats_collector::{Collector, CollectorConfig, Meter};
use netstats_event::{SampleHead, Timestamp, Transport};
use netstats_inventory::Inventory;
use netstats_probe::{Contact, Guard, Probes, ProbesConfig, Request, be_prompt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::apply::{Applied, Applier, Place};
use crate::ask::say;
use crate::config::ServerLimits;
use crate::core::Core;
use crate::data_dir::DataDir;
use crate::lost::Lost;
use crate::platform::Signals;
use crate::retention::Retainer;
use crate::settings::Decided;
use crate::signal::Signal;
use crate::{exit, listen, logging, platform, supervise};

/// A stop takes at most this long; then the process ends as it is. Nothing acknowledged is lost by that.
const STOP_WITHIN: Duration = Duration::from_millis(4_500);

/// Threads that schedule and probe: one more than one, so that a probe that computes does not hold up the schedule.
const MEASURING_THREADS: usize = 2;

/// Where samples come from.
pub(crate) enum Served {
    /// The network.
    Real,
    /// The demo.
    Simulated(Probes),
}

/// Runs the product until a signal.
///
/// # Errors
/// Something that it needs cannot be had; a damaged log; a config that does not fit.
pub(crate) fn serve(decided: Decided, served: Served) -> Result<()> {
    let log = logging::start(&decided.log)?;
    let addresses = listen::parse(&decided.listen).map_err(|message| anyhow!(message))?;
    let data = DataDir::open(&decided.data_dir)?;
    let listeners = listen::bind(&addresses).map_err(|error| listen_error(&decided.listen, &error))?;
    let tls = tls(&decided)?;
    let url = listen::url(&decided.listen, &listeners, if tls.is_some() { "https" } else { "http" })?;
    let core = Core::open(&data, decided.floor)?;
    let place = Place {
        own: listeners.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?,
        is_far: decided.config.server.behind_proxy || addresses.iter().any(|address| !address.ip().is_loopback()),
    };
    let is_far = place.is_far;
    let applier = Arc::new(Applier::new(&core, &decided, Arc::clone(&log), place));
    let applied = applier.apply_at_start()?;
    let lost = Arc::new(Lost::new(data.unrecorded(), Arc::clone(&core.journal)));
    lost.record();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    let measuring = measuring_runtime()?;
    let for_rates = Arc::clone(&applier);
    let meter = Arc::new(Meter::new(Arc::new(move || for_rates.policy().rates)));
    let mut collector_config = CollectorConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bulk: Some(runtime.handle().clone()),
        ..CollectorConfig::default()
    };
    let probes = match served {
        Served::Real => {
            collector_config.gateway = Some(platform::gateway);
            collector_config.meter = Some(Arc::clone(&meter));
            let guard = Some(guard(&applier));
            Probes::open(&ProbesConfig { secrets: Some(data.secrets()), guard, ..ProbesConfig::default() })
        }
        Served::Simulated(probes) => probes,
    };
    let collector = Collector::start(
        core.inventory.clone(),
        Arc::clone(&core.journal),
        probes.clone(),
        collector_config,
        measuring.handle(),
    )?;
    let collector = Arc::new(collector);

    let (stop, stopping) = watch::channel(false);
    let running = runtime.enter();
    let mut signals = Signals::new().context("the system gives no signals")?;
    let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<Result<Vec<_>, _>>()?;
    let place_token = random_token()?;
    let retainer = Arc::new(Retainer::new(Arc::clone(&core.journal), Arc::clone(&applier)));
    let mut context = context(&core, &applier, &retainer, &collector, &probes, tls);
    context.log_level = Some(log.clone());
    context.probe = Some(probe_hook(&probes, &meter));
    context.limits = limits(&decided.config.server.limits);
    context.allowed_hosts.clone_from(&decided.config.server.allowed_hosts);
    context.behind_proxy = decided.config.server.behind_proxy;
    context.place_token = Some(place_token.clone());
    context.exports_folder = Some(decided.exports_dir.clone());
    context.signing_key = Some(Arc::new(data.signing_key()?));
    if is_far && core.inventory.current().access.users.is_empty() {
        let token = random_token()?;
        say("No user is known yet. From this machine, the first admin is made with this token, once:");
        say(&format!("  {token}"));
        context.setup_token = Some(token);
    }
    let report = Arc::clone(&context.report);
    let api = Api::new(context);
    let mut door = tokio::spawn(api.serve(listeners, until(stopping)));
    drop(running);
    runtime.spawn(Arc::clone(&applier).until_taken_up());
    runtime.spawn(Arc::clone(&lost).until_recorded());
    runtime.spawn(retainer.until_stopped());
    data.announce(&url, &place_token)?;
    runtime.spawn(supervise::live(Box::new(move || drop(report()))));
    platform::tell(platform::State::Running);
    greet(&decided, &url, &core.inventory.current(), &applied, &probes);

    let outcome = runtime.block_on(until_stop(&mut signals, &mut door, &applier));
    let overdue = watch_over_stop();
    platform::tell(platform::State::Stopping);
    runtime.spawn(second_signal(signals));
    let _ = stop.send(true);
    if outcome.is_ok() {
        let _ = runtime.block_on(door);
    }
    let unrecorded = collector.stop(if outcome.is_ok() { "signal" } else { "error: the door broke" });
    unrecorded.into_iter().for_each(|events| lost.note(events));
    core.close();
    data.withdraw();
    measuring.shutdown_timeout(Duration::from_millis(100));
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.flush();
    drop(overdue);
    if outcome.is_ok() {
        say("stopped");
    }
    outcome
}

/// Threads of their own for what must happen on time: slots begin when they are due whatever the doors are asked for.
fn measuring_runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(MEASURING_THREADS).thread_name("measuring").on_thread_start(be_prompt).enable_all();
    builder.build().context("no threads to measure on")
}

/// Ends well at a signal, badly when the door ends by itself.
async fn until_stop(
    signals: &mut Signals,
    door: &mut JoinHandle<Result<(), netstats_api::Error>>,
    applier: &Arc<Applier>,
) -> Result<()> {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => reload(applier).await,
                Signal::Stop => return Ok(()),
            },
            ended = &mut *door => {
                ended.context("the door broke")??;
                return Err(anyhow!("the door closed by itself"));
            }
        }
    }
}

/// A second signal means now.
async fn second_signal(mut signals: Signals) {
    while signals.next().await != Signal::Stop {}
    std::process::exit(i32::from(exit::STUCK));
}

pub(crate) fn listen_error(asked: &str, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "another process listens at {asked}: stop it (if it is this product, Ctrl-C or `kill PID`), \
             or take another port with --listen localhost:PORT (0: any that is free)"
        ),
        std::io::ErrorKind::PermissionDenied => {
            anyhow!(
                "the system does not allow listening at {asked}: take a port above 1023 with --listen localhost:PORT"
            )
        }
        _ => anyhow!("cannot listen at {asked}: {error}"),
    }
}

async fn until(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn reload(applier: &Arc<Applier>) {
    let applier = Arc::clone(applier);
    match tokio::task::spawn_blocking(move || applier.reload()).await {
        Ok(Ok(applied)) => {
            tracing::info!(changed = applied.changed, "config file taken up");
            applied.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        }
        Ok(Err(error)) => tracing::error!("the config file was not taken up, the old one counts on: {error:#}"),
        Err(error) => tracing::error!(%error, "reload broke"),
    }
}

/// A thread that ends the process when the stop takes too long. Dropping the sender calls it off.
fn watch_over_stop() -> std::sync::mpsc::Sender<()> {
    let (done, overdue) = channel::<()>();
    std::thread::spawn(move || {
        if overdue.recv_timeout(STOP_WITHIN) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the stop took too long: ending as it is; nothing acknowledged is lost");
            std::process::exit(i32::from(exit::STUCK));
        }
    });
    done
}

/// The certificate of the config file; its files are relative to that.
pub(crate) fn tls(decided: &Decided) -> Result<Option<Tls>> {
    let Some(files) = &decided.config.server.tls else { return Ok(None) };
    let folder = decided.config_file.as_deref().and_then(std::path::Path::parent).unwrap_or(std::path::Path::new(""));
    Ok(Some(Tls::load(&folder.join(&files.cert), &folder.join(&files.key))?))
}

/// 256 random bits in hexadecimal.
pub(crate) fn random_token() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The server's limits: those of the file, else the default.
pub(crate) fn limits(from: &ServerLimits) -> Limits {
    let or = Limits::default();
    let bytes = |size: Option<crate::config::Size>, or| {
        size.and_then(|size| usize::try_from(size.0).ok()).map_or(or, |bytes| bytes.max(1_024))
    };
    let time = |span: Option<crate::config::Span>, or| span.map_or(or, |span| span.0);
    Limits {
        head_bytes: bytes(from.head, or.head_bytes).max(8_192),
        head_fields: from.head_fields.unwrap_or(or.head_fields),
        head_time: time(from.head_time, or.head_time),
        body_bytes: bytes(from.body, or.body_bytes),
        body_time: time(from.body_time, or.body_time),
        idle_time: time(from.idle_time, or.idle_time),
        write_time: time(from.write_time, or.write_time),
        handler_time: time(from.handler_time, or.handler_time),
        connections: from.connections.unwrap_or(or.connections),
        connections_per_address: from.connections_per_address.unwrap_or(or.connections_per_address),
        sockets: from.sockets.unwrap_or(or.sockets),
        message_bytes: bytes(from.message, or.message_bytes),
        messages_per_s: from.messages_per_s.unwrap_or(or.messages_per_s),
        subscriptions: from.subscriptions.unwrap_or(or.subscriptions),
        ..or
    }
}

/// The target policy as it is now, in front of every probe.
fn guard(applier: &Arc<Applier>) -> Guard {
    let applier = Arc::clone(applier);
    Arc::new(move |address, Contact { host, probe, port }| {
        let contact = netstats_inventory::Contact { host, probe, port };
        applier.policy().targets.check(address, contact).map_err(|denied| denied.to_string())
    })
}

/// One probe by hand, counted with all others.
fn probe_hook(probes: &Probes, meter: &Arc<Meter>) -> ProbeHook {
    let (probes, meter) = (probes.clone(), Arc::clone(meter));
    Arc::new(move |ask| {
        let (probe, meter) = (probes.get(ask.probe).cloned(), Arc::clone(&meter));
        Box::pin(async move {
            let ProbeAsk { head, host, port, probe: kind, options } = ask;
            let probe = probe.ok_or_else(|| format!("this program cannot measure {}", kind.name()))?;
            meter.take(&host, kind, &options, monotonic())?;
            let report = probe.run(&Request { host, port, options: Arc::new(options) }).await;
            let head = SampleHead { flags: report.flags, ..head };
            Ok(Probed { event: report.outcome.into_event(kind, head), answers: report.answers })
        })
    })
}

/// A door without a collector: for questions to a folder that nothing is written to.
pub(crate) fn quiet_context(core: &Core) -> ApiContext {
    let mut context = ApiContext::new(
        Arc::clone(&core.journal),
        Arc::clone(&core.runner),
        core.inventory.clone(),
        core.series.clone(),
        core.availability.clone(),
        core.broadcaster.clone(),
        Arc::new(now),
    );
    context.version = env!("CARGO_PKG_VERSION");
    context
}

fn context(
    core: &Core,
    applier: &Arc<Applier>,
    retainer: &Arc<Retainer>,
    collector: &Arc<Collector>,
    probes: &Probes,
    tls: Option<Tls>,
) -> ApiContext {
    let (for_report, seen) = (Arc::clone(applier), tls.clone());
    let (for_policy, for_retention, for_reload) = (Arc::clone(applier), Arc::clone(applier), Arc::clone(applier));
    let (collector, probes, retainer) = (Arc::clone(collector), probes.clone(), Arc::clone(retainer));
    let mut context = quiet_context(core);
    context.policy = Arc::new(move || for_policy.policy());
    context.retention = Arc::new(move || for_retention.retention().kept());
    context.reload = Some(Arc::new(move || reload_hook(&for_reload)));
    context.tls = tls;
    context.report = Arc::new(move || {
        let mut report = report(&collector, &probes);
        report.problems.extend(for_report.refused().map(|why| ProblemReport {
            message: format!("the config file was not taken up, the old one counts on: {why}"),
            fix: Some("mend the file and reload again: network-stats config reload".to_owned()),
        }));
        report.problems.extend(for_report.waits().map(|why| ProblemReport {
            message: format!("the config is not taken up yet, what the log holds counts until then: {why}"),
            fix: Some("it is taken up by itself as soon as the log takes events again".to_owned()),
        }));
        report.problems.extend(retainer.trouble().map(|why| ProblemReport {
            message: why,
            fix: Some("make room, or raise retention.max_size in the config file".to_owned()),
        }));
        report.problems.extend(seen.as_ref().and_then(Tls::problem).map(|why| ProblemReport {
            message: format!("the new certificate was not taken up, the old one counts on: {why}"),
            fix: Some("mend the files of server.tls: they are looked at every few seconds".to_owned()),
        }));
        report
    });
    context
}

fn reload_hook(applier: &Applier) -> Result<Reloaded, ReloadRefused> {
    match applier.reload() {
        Ok(Applied { position, changed, remarks }) => Ok(Reloaded { position, changed, warnings: remarks }),
        Err(error) => Err(ReloadRefused {
            message: format!("{error:#}"),
            accepted: None,
            hint: Some("mend the file and reload again; until then the old config counts".to_owned()),
        }),
    }
}

/// The wall clock of the doors: "now" for windows and job states.
#[expect(clippy::disallowed_methods, reason = "the one clock that is handed to the doors; tests hand them another")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The monotonic clock of the demo's probes.
#[expect(clippy::disallowed_methods, reason = "a probe says when it began")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

fn report(collector: &Collector, probes: &Probes) -> Report {
    let (status, able) = (collector.status(), probes.capabilities());
    let mut problems: Vec<ProblemReport> =
        status.problems.into_iter().map(|message| ProblemReport { message, fix: None }).collect();
    for (version, icmp) in [("IPv4", &able.icmp_v4), ("IPv6", &able.icmp_v6)] {
        if let Some(problem) = &icmp.problem {
            let message = format!("ping over {version}: {problem}");
            problems.push(ProblemReport { message, fix: icmp.fix.clone() });
        }
    }
    Report {
        collector: CollectorReport {
            running: true,
            planned: status.planned,
            in_flight: status.running,
            queued: status.waiting,
            slots_run: status.slots_run,
            slots_failed: status.slots_failed,
            slots_missed: status.slots_missed,
            lateness_p50_ms: f64::from(status.lateness_p50_us) / 1e3,
            lateness_p95_ms: f64::from(status.lateness_p95_us) / 1e3,
            lateness_p99_ms: f64::from(status.lateness_p99_us) / 1e3,
            unrecorded: status.unrecorded,
            dropped: status.dropped,
        },
        privileges: PrivilegesReport {
            icmp: able.icmp_v4.transport.map(|transport| transport_name(transport).to_owned()),
            fix: able.icmp_v4.fix,
        },
        problems,
        resident_bytes: platform::resident_bytes(),
    }
}

pub(crate) const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::IcmpDatagram => "datagram",
        Transport::IcmpRaw => "raw",
        Transport::IcmpHelper => "helper",
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

/// The start lines.
fn greet(decided: &Decided, url: &str, inventory: &Inventory, applied: &Applied, probes: &Probes) {
    let me = std::env::args().next().unwrap_or_else(|| "network-stats".to_owned());
    say(&format!("Network Stats Collector {}: {url}", env!("CARGO_PKG_VERSION")));
    say(&format!("  config  {}", decided.config.file.display()));
    say(&format!("  data    {}", std::path::absolute(&decided.data_dir).unwrap_or_default().display()));
    let remarks = decided.config.warnings.iter().chain(&applied.remarks);
    remarks.for_each(|remark| say(&format!("  note    {remark}")));
    let able = probes.capabilities();
    if let (None, Some(fix)) = (able.icmp_v4.transport, able.icmp_v4.fix) {
        say(&format!("  note    this system does not let us ping; this command does: {fix}"));
    }
    if let Some(job) = inventory.job_by_name("internet").filter(|job| !job.spec.enabled) {
        say("  Only this machine is measured, and nothing leaves it. To measure beyond it, one click on the page, or:");
        say(&format!("    {me} start {}", job.spec.name));
    }
    say("  Ctrl-C stops.");
}
