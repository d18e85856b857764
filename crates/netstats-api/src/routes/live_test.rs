//! `POST /api/test`: one real probe, now, before anything is saved. Checked as the destination and job that it would be
//! are checked at their save, and by the target policy again when the name is resolved. Nothing is recorded: the log
//! holds what a job planned, and this was planned by nobody.

use std::sync::Arc;

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use netstats_event::{
    DestinationSpec, Echo, Envelope, Event, JobSpec, Meta, Metric, Position, SampleFlags, SampleHead,
};
use netstats_inventory::{Command, Inventory, MAX_INTERVAL_S, decide};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{ProbeAsk, ProbeHook, Probed};
use crate::json::{Fields, Json, OptionsInput, TestedWord, Time, parse, read_options, row_text};
use crate::limits::TEST_TIME;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

/// What is tried, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read` reads field by field")]
struct TestInput {
    /// Address or host name.
    #[schema(min_length = 1, max_length = 253, examples("192.0.2.1", "www.example.com"))]
    host: String,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    metric: TestedWord,
    options: Option<OptionsInput>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
struct TestJson<'a> {
    host: &'a str,
    port: Option<u16>,
    metric: &'static str,
    at: Time,
    took_ms: f64,
    /// All addresses of the name; empty where the host is an address.
    answers: Vec<String>,
    /// `success`, `partial`, `timeout`, `unreachable`, `refused`, `error`, `unknown`: as in the row.
    status: &'a str,
    /// What went wrong, in words.
    error: Option<&'a str>,
    /// Of a ping, packet by packet; null for one that was lost, late or not sent.
    echoes_ms: Option<Vec<Option<f64>>>,
    /// The columns of a row of `GET /api/jobs/{id}/metrics`.
    #[schema(value_type = Object)]
    row: Value,
}

pub(crate) fn routes() -> Vec<Route<App>> {
    let test = route(Method::POST, "/api/test", test)
        .says("destinations", "Probe a host once, now; nothing is saved or recorded")
        .reads::<TestInput>()
        .gives::<TestJson<'_>>();
    vec![test]
}

/// A test that would be a destination and a job, in an inventory of its own.
struct Trial {
    inventory: Inventory,
    metric: Metric,
}

impl Trial {
    fn read(json: &Json) -> Result<(DestinationSpec, JobSpec), Problem> {
        let mut fields = Fields::of(json, "")?;
        let host = fields.required_text("host")?;
        let port = fields.number("port")?;
        let names = Metric::ALL.map(Metric::name);
        let metric = fields
            .word("metric", &names, Metric::from_name)?
            .ok_or_else(|| fields.refuse("metric", "is missing", &names.join(", ")))?;
        if metric == Metric::Bandwidth {
            let problem = fields.refuse("metric", "is bandwidth, which weighs on all that is measured meanwhile", "");
            return Err(problem.accepted("any other metric").hint("make a job of it: it has a budget of bytes"));
        }
        let options = fields.value("options").map(read_options).transpose()?.unwrap_or_default();
        fields.done()?;
        let destination = DestinationSpec { name: "test".to_owned(), host, port, ..DestinationSpec::default() };
        let job = JobSpec {
            name: "test".to_owned(),
            enabled: true,
            // Longer than any run: how long this one may take is bounded apart.
            interval_s: MAX_INTERVAL_S,
            metrics: vec![metric],
            options,
            ..JobSpec::default()
        };
        Ok((destination, job))
    }

    /// By the same rules as a save.
    fn of(json: &Json, app: &App, meta: &Meta) -> Result<Self, Problem> {
        let (destination, mut job) = Self::read(json)?;
        let metric = job.metrics[0];
        let policy = (app.context.policy)();
        let mut inventory = Inventory::default();
        let mut carry_out = |command| -> Result<Event, Problem> {
            let events = decide(&inventory, command, meta, &policy)?;
            let event = events.into_iter().next().ok_or_else(Problem::internal)?;
            let position = inventory.position.next();
            inventory.apply(&Envelope { position, recorded_at: app.now(), event: event.clone() });
            Ok(event)
        };
        if let Event::DestinationAdded(added) = carry_out(Command::AddDestination(destination))? {
            job.destinations = vec![added.id];
        }
        carry_out(Command::AddJob(job))?;
        Ok(Self { inventory, metric })
    }

    fn ask(&self, app: &App) -> Option<ProbeAsk> {
        let (destination, job) = (self.inventory.destinations.values().next()?, self.inventory.jobs.values().next()?);
        let flags = SampleFlags::default();
        let head = SampleHead { job: job.id, destination: destination.id, slot_at: app.now(), lateness_us: 0, flags };
        Some(ProbeAsk {
            head,
            host: destination.spec.host.clone(),
            port: destination.spec.port,
            probe: self.metric.probe(),
            options: job.spec.options.clone(),
        })
    }
}

async fn test(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let hook: ProbeHook =
        app.context.probe.clone().ok_or_else(|| {
            Problem::new(StatusCode::NOT_IMPLEMENTED, "cannot-probe", "this program runs without probes")
        })?;
    let trial = Trial::of(&parse(&call.body)?, &app, &app.meta(&call))?;
    let ask = trial.ask(&app).ok_or_else(Problem::internal)?;
    let _turn = app.tests.try_acquire().map_err(|_| busy("as many tests as may run at once are running"))?;
    tracing::info!(actor = %call.who.actor, host = %ask.host, probe = ask.probe.name(), "a test by hand");
    let (at, begin) = (ask.head.slot_at, Instant::now());
    let host = ask.host.clone();
    let ran = timeout(TEST_TIME, hook(ask)).await.map_err(|_| {
        let detail = format!("the test took longer than {} s and was cut off", TEST_TIME.as_secs());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "test-too-long", detail)
            .hint("ask for fewer packets or hops, or for a shorter timeout")
    })?;
    let Probed { event, answers } = ran.map_err(busy)?;
    let took_ms = begin.elapsed().as_secs_f64() * 1e3;
    if let Event::SlotFailed(failed) = &event
        && failed.reason == netstats_event::FailReason::Denied
    {
        return Err(Problem::new(StatusCode::FORBIDDEN, "target-denied", failed.detail.clone())
            .field("host")
            .hint("an administrator can allow it under `targets` in the config file"));
    }
    let envelope = Envelope { position: Position::START, recorded_at: at, event };
    let row = row_text(&envelope, &trial.inventory).ok_or_else(Problem::internal)?;
    let row: Value = serde_json::from_slice(&row).map_err(|_| Problem::internal())?;
    let rows = netstats_series::rows_of(&envelope, &[trial.metric]);
    let first = rows.first().ok_or_else(Problem::internal)?;
    Ok(Reply::json(&TestJson {
        host: &host,
        port: trial.inventory.destinations.values().next().and_then(|destination| destination.spec.port),
        metric: trial.metric.name(),
        at: Time(at),
        took_ms,
        answers: answers.iter().map(ToString::to_string).collect(),
        status: first.status.name(),
        error: first.error.as_deref(),
        echoes_ms: echoes(&envelope.event),
        row,
    }))
}

fn busy(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", why).header(RETRY_AFTER, HeaderValue::from_static("5"))
}

fn echoes(event: &Event) -> Option<Vec<Option<f64>>> {
    let Event::PingMeasured(sample) = event else { return None };
    Some(sample.echoes.iter().map(|echo: &Echo| echo.rtt().map(|rtt| rtt.as_millis_f64())).collect())
}
