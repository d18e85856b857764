//! How the product does.

use std::sync::Arc;

use hyper::StatusCode;
use netstats_event::{Kind, ProbeKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{CollectorReport, PrivilegesReport, ProblemReport};
use crate::json::Time;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthJson {
    status: &'static str,
    version: &'static str,
    started_at: Time,
    position: u64,
    log: LogHealth,
    projectors: Vec<ProjectorHealth>,
    collector: CollectorReport,
    privileges: PrivilegesReport,
    problems: Vec<ProblemReport>,
}

#[derive(Serialize, ToSchema)]
struct LogHealth {
    first: u64,
    last: u64,
    head: String,
    /// From this position on every sample has its raw values; before it retention may have left summaries.
    raw_from: u64,
    /// Bytes on disk.
    bytes: u64,
}

#[derive(Serialize, ToSchema)]
struct ProjectorHealth {
    name: &'static str,
    position: u64,
    lag: u64,
    failure: Option<String>,
}

/// `GET /api/health`
pub(crate) async fn show(app: Arc<App>, _: Call) -> Result<Reply, Problem> {
    let head = app.context.journal.head();
    let report = (app.context.report)();
    let projectors: Vec<_> = app
        .context
        .runner
        .progress()
        .into_iter()
        .map(|progress| ProjectorHealth {
            name: progress.name,
            position: progress.visible.0,
            lag: head.last.saturating_sub(progress.visible.0),
            failure: progress.failure,
        })
        .collect();
    let mut problems = report.problems;
    problems.extend(projectors.iter().filter_map(|projector| {
        let failure = projector.failure.as_ref()?;
        Some(ProblemReport {
            message: format!("the view {} stands still: {failure}", projector.name),
            fix: Some("restart; if it comes again: network-stats views rebuild".to_owned()),
        })
    }));
    problems.extend(app.context.journal.refusal().map(|why| ProblemReport {
        message: why.to_string(),
        fix: Some("docs/OPERATIONS.md, What to do when; it goes on by itself when the reason is gone".to_owned()),
    }));
    let is_failing = projectors.iter().any(|projector| projector.failure.is_some());
    let status = match (is_failing, problems.is_empty()) {
        (true, _) => "failing",
        (false, false) => "degraded",
        (false, true) => "ok",
    };
    let health = HealthJson {
        status,
        version: app.context.version,
        started_at: Time(app.started_at),
        position: head.last,
        log: LogHealth {
            first: app.context.journal.first().0,
            last: head.last,
            head: head.chain.to_string(),
            raw_from: ProbeKind::ALL
                .map(|probe| app.context.journal.raw_from(Kind::of_samples(probe)).0)
                .into_iter()
                .max()
                .unwrap_or(1),
            bytes: app.context.journal.disk_bytes(),
        },
        projectors,
        collector: report.collector,
        privileges: report.privileges,
        problems,
    };
    let code = if is_failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok(Reply::json(&health).status(code))
}
