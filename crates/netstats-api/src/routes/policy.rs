//! What the config file allows: limits on jobs, who may be probed, how long raw values are kept. It is read here and
//! changed there.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hyper::Method;
use netstats_event::{ProbeKind, Role};
use netstats_inventory::Network;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

#[derive(Serialize, ToSchema)]
#[schema(as = Policy)]
struct PolicyJson {
    limits: LimitsJson,
    targets: TargetsJson,
    retention: RetentionJson,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PolicyLimits)]
struct LimitsJson {
    min_interval_s: u32,
    max_destinations: usize,
    max_jobs: usize,
    packets_per_s: u32,
    target_packets_per_s: u32,
}

/// Rules in order, the first that fits decides: `deny`, `only`, `allow`, then what is built in.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyTargets)]
struct TargetsJson {
    deny: Vec<String>,
    only: Vec<String>,
    allow: Vec<String>,
    local_services: bool,
    /// Ports as `443` or `8000-8999`; nothing but these, where there are any.
    ports: Vec<String>,
    deny_ports: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PolicyRetention)]
struct RetentionJson {
    /// Bytes of the log past which the oldest raw values go; null for none.
    max_bytes: Option<u64>,
    /// Raw values of each probe go when they are so old; null for never.
    raw: RawJson,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PolicyRetentionRaw)]
struct RawJson {
    ping_s: Option<u64>,
    traceroute_s: Option<u64>,
    dns_s: Option<u64>,
    bandwidth_s: Option<u64>,
    tcp_s: Option<u64>,
    http_s: Option<u64>,
}

pub(crate) fn routes() -> [Route<App>; 1] {
    [route(Method::GET, "/api/policy", show)
        .says("server", "What the config file allows: limits, targets, retention")
        .needs(Role::Operator)
        .gives::<PolicyJson>()]
}

/// `GET /api/policy`
async fn show(app: Arc<App>, _: Call) -> Result<Reply, Problem> {
    let policy = (app.context.policy)();
    let kept = (app.context.retention)();
    let (targets, rates) = (&policy.targets, policy.rates);
    let raw_s = |probe: ProbeKind| kept.raw.get(&probe).map(std::time::Duration::as_secs);
    Ok(Reply::json(&PolicyJson {
        limits: LimitsJson {
            min_interval_s: policy.min_interval_s,
            max_destinations: policy.max_destinations,
            max_jobs: policy.max_jobs,
            packets_per_s: rates.packets_per_s,
            target_packets_per_s: rates.target_packets_per_s,
        },
        targets: TargetsJson {
            deny: networks(&targets.deny),
            only: networks(&targets.only),
            allow: networks(&targets.allow),
            local_services: targets.local_services,
            ports: ports(&targets.ports),
            deny_ports: ports(&targets.deny_ports),
        },
        retention: RetentionJson {
            max_bytes: kept.max_bytes,
            raw: RawJson {
                ping_s: raw_s(ProbeKind::Ping),
                traceroute_s: raw_s(ProbeKind::Traceroute),
                dns_s: raw_s(ProbeKind::Dns),
                bandwidth_s: raw_s(ProbeKind::Bandwidth),
                tcp_s: raw_s(ProbeKind::Tcp),
                http_s: raw_s(ProbeKind::Http),
            },
        },
    }))
}

fn networks(list: &[Network]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn ports(list: &[RangeInclusive<u16>]) -> Vec<String> {
    let shown = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    list.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn a_port_alone_is_no_range() {
        assert_eq!(ports(&[443..=443, 8000..=8999]), ["443", "8000-8999"]);
    }
}
