//! What the machine is asked.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::ToSocketAddrs;
use std::path::Path;

use netstats_event::ProbeKind;
use netstats_log::{ErrorKind as LogErrorKind, FjallLog, Log};
use netstats_probe::{IcmpCapability, Probes, ProbesConfig, Request};
use serde_json::Value;

use super::{Finding, judge};
use crate::ask::running;
use crate::cli::Settings;
use crate::data_dir::{DataDir, address_file};
use crate::paths::Places;
use crate::settings::{self, Decided};
use crate::{exit, listen, platform, serve};

/// Host names that are looked up at most.
const MAX_NAMES: usize = 20;

/// All checks, in the order of a start. A wrong config is the only finding where there is one: the others depend on it.
pub(super) fn all(settings: &Settings, places: &Places, is_online: bool) -> Vec<Finding> {
    let decided = match settings::decide(settings, places) {
        Ok(decided) => decided,
        Err(error) => {
            let fix = "mend it, then: network-stats check-config FILE";
            return vec![Finding::fault("config", format!("{error:#}"), fix).ending_with(exit::code_of(&error))];
        }
    };
    let mut findings = vec![config(&decided)];
    findings.extend(data(&decided));
    findings.push(head(&decided));
    findings.extend(ports(&decided));
    findings.extend(tls(&decided));
    let probes = Probes::open(&ProbesConfig::default());
    let able = probes.capabilities();
    findings.push(ping("ping IPv4", &able.icmp_v4));
    findings.push(ping("ping IPv6", &able.icmp_v6));
    let is_able = able.icmp_v4.transport.is_some();
    findings.extend(platform::ping_groups().map(|groups| judge::ping_groups(&groups, is_able)));
    let limits = serve::limits(&decided.config.server.limits);
    findings.push(judge::open_files(platform::open_files(), (limits.connections + limits.sockets) as u64));
    findings.push(judge::clock(platform::is_clock_synchronised()));
    findings.push(judge::gateway(platform::gateway()));
    findings.push(judge::resolver(platform::name_servers(), resolves("localhost").is_ok()));
    findings.extend(antivirus(&decided));
    if is_online {
        findings.extend(names(&decided));
        findings.extend(gateway_answers(&probes));
    }
    findings
}

fn config(decided: &Decided) -> Finding {
    let found = format!("{}: {}", decided.config.file.display(), decided.config.summary());
    match decided.config.warnings.first() {
        Some(warning) => Finding::advice("config", found, warning),
        None => Finding::fine("config", found),
    }
}

/// The folder, or the nearest one above it that is there.
fn data(decided: &Decided) -> Vec<Finding> {
    let folder = &decided.data_dir;
    let Some(place) = folder.ancestors().map(or_here).find(|place| place.is_dir()) else {
        return vec![Finding::fault(
            "data",
            format!("there is no place for {}", folder.display()),
            "give another with --data-dir",
        )];
    };
    let is_there = place == or_here(folder);
    let mut findings = vec![match try_write(place) {
        Ok(()) if is_there => Finding::fine("data", format!("{} can be written", folder.display())),
        Ok(()) => Finding::fine("data", format!("{} is made at the first start", folder.display())),
        Err(error) => {
            let fix = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room",
                _ => "give this user the right to write there, or another folder with --data-dir",
            };
            Finding::fault("data", format!("{} cannot be written: {error}", place.display()), fix)
        }
    }];
    if is_there {
        findings.push(judge::rights(folder, platform::mode(folder)));
    }
    findings.push(judge::file_system(platform::file_system(place).as_deref()));
    match fs4::available_space(place).and_then(|free| Ok((free, fs4::total_space(place)?))) {
        Ok((free, total)) => findings.push(judge::space(free, decided.floor.on(total))),
        Err(error) => {
            findings.push(Finding::advice("free space", format!("not known: {error}"), "look at it yourself"))
        }
    }
    findings
}

/// A relative folder's last ancestor is the current folder.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Makes a file with something in it, and removes it.
fn try_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let written = File::create_new(&path).and_then(|mut file| {
        file.write_all(&[0; 4_096])?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    written
}

/// The log, opened as a start opens it; that of a running product by its own word.
fn head(decided: &Decided) -> Finding {
    let check = "log";
    if !decided.data_dir.join("log").is_dir() {
        return Finding::fine(check, "there is none yet");
    }
    if address_file(&decided.data_dir).exists()
        && let Ok(health) = running(decided).ask("GET", "/api/health", None)
    {
        return of_health(&health);
    }
    let data = match DataDir::open_existing(&decided.data_dir) {
        Ok(data) => data,
        Err(error) => return Finding::fault(check, format!("{error:#}"), "stop that process, or look at its health"),
    };
    match FjallLog::open(data.log()) {
        Ok(log) => {
            let head = log.head();
            log.close();
            Finding::fine(check, format!("{} events, head {}:{}", head.last, head.last, head.chain))
                .hint("the whole of it is proved by: network-stats log verify")
        }
        Err(error) => {
            let (code, fix) = match error.kind() {
                LogErrorKind::Corrupt => (
                    exit::DAMAGED,
                    "change nothing in data/log; see what can be saved: network-stats log repair --dry-run",
                ),
                _ => (exit::FAILURE, "nothing is damaged: see to what it says"),
            };
            Finding::fault(check, error.to_string(), fix).ending_with(code)
        }
    }
}

fn of_health(health: &Value) -> Finding {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = format!("a running product has it: {} events, {}", health["log"]["last"], text(&health["status"]));
    match health["problems"].as_array().and_then(|problems| problems.first()) {
        Some(problem) => Finding::advice(
            "log",
            format!("{found}: {}", text(&problem["message"])),
            problem["fix"].as_str().unwrap_or("see GET /api/health"),
        ),
        None => Finding::fine("log", found),
    }
}

fn ports(decided: &Decided) -> Vec<Finding> {
    let is_ours = fs::read_to_string(address_file(&decided.data_dir)).is_ok();
    let addresses = listen::parse(&decided.listen).unwrap_or_default();
    let each = addresses.into_iter().map(|address| match std::net::TcpListener::bind(address) {
        Ok(_) => Finding::fine("port", format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_ours => {
            Finding::fine("port", format!("{address} is taken, as the running product's may be"))
        }
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable && address.is_ipv6() => {
            Finding::advice("port", format!("{address}: IPv6 is switched off here"), "fine, if you do not need it")
        }
        Err(error) => {
            let why = serve::listen_error(&decided.listen, &error);
            Finding::fault("port", format!("{address}: {error}"), format!("{why:#}"))
        }
    });
    each.collect()
}

fn tls(decided: &Decided) -> Option<Finding> {
    Some(match serve::tls(decided) {
        Ok(None) => return None,
        Ok(Some(_)) => Finding::fine("tls", "certificate and key are right"),
        Err(error) => Finding::fault("tls", format!("{error:#}"), "mend the files of `server.tls`"),
    })
}

fn ping(check: &'static str, icmp: &IcmpCapability) -> Finding {
    match (&icmp.transport, &icmp.problem) {
        (Some(transport), _) => {
            Finding::fine(check, format!("possible ({}, engine {})", serve::transport_name(*transport), icmp.engine))
        }
        (None, problem) => {
            let problem = problem.clone().unwrap_or_else(|| "not possible".to_owned());
            let fix = icmp.fix.clone().unwrap_or_else(|| "see docs/OPERATIONS.md, The right to ping".to_owned());
            // IPv6 is switched off on many machines on purpose.
            if check.ends_with('6') {
                Finding::advice(check, problem, fix)
            } else {
                Finding::fault(check, problem, fix)
            }
        }
    }
}

fn resolves(name: &str) -> std::io::Result<usize> {
    Ok((name, 0).to_socket_addrs()?.count())
}

/// Scanners open files while they are written.
fn antivirus(decided: &Decided) -> Option<Finding> {
    platform::HAS_SCANNERS.then(|| {
        let folder = std::path::absolute(&decided.data_dir).unwrap_or_default();
        let exclude = format!("Add-MpPreference -ExclusionPath '{}'", folder.display());
        Finding::fine("antivirus", "a scanner slows the event log down and may hold its files")
            .hint(format!("as administrator in PowerShell, once: {exclude}"))
    })
}

/// The host names that the file declares.
fn names(decided: &Decided) -> Vec<Finding> {
    let hosts = decided.config.host_names();
    let looked_up = hosts.iter().take(MAX_NAMES).map(|host| match resolves(host) {
        Ok(count) => Finding::fine("name", format!("{host} has {count} address(es)")),
        Err(error) => Finding::advice("name", format!("{host}: {error}"), "look at the name, and at the name servers"),
    });
    looked_up.collect()
}

fn gateway_answers(probes: &Probes) -> Option<Finding> {
    let gateway = platform::gateway()?;
    let probe = probes.get(ProbeKind::Ping)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let report = runtime.block_on(probe.run(&Request::to(&gateway.to_string())));
    Some(if report.outcome.is_answered() {
        Finding::fine("gateway ping", format!("{gateway} answers"))
    } else {
        Finding::advice(
            "gateway ping",
            format!("{gateway} does not answer"),
            "some routers do not; else the way out is down",
        )
    })
}
