//! `cargo xtask lab`: a network of known delay, loss, rate and faults on one machine, made of network namespaces. It
//! has no way out. Needs root and the Debian packages iproute2, nftables, ethtool and procps.
//!
//! ```text
//!             r2b
//!            /    \
//!   prober -- r1 -- r2 -- r3 --(link)-- target
//! ```
//! The link is a process of this program between two veth ends, since not every kernel has netem. All of
//! 198.19.0.0/16 and 2001:2:0:100::/64 answers at the target (RFC 2544, RFC 5180: set aside for benchmarks), and so do
//! ten addresses 2001:2:0:101::1 and on, which send ICMP errors as themselves. At r3 198.18.200.0/24 is unreachable,
//! 198.18.201.0/24 prohibited, 198.18.202.0/24 swallowed; 198.18.203.0/24 goes round in circles; 198.18.204.0/24 has two
//! paths, by flow. The same goes for 2001:2:0:200::/64 to 2001:2:0:204::/64.

mod bench;
mod capture;
mod lateness;
mod link;
mod lookups;
mod net;
mod serve;
mod traces;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::step::{command, ended, root, say};
use crate::tools;
pub(crate) use net::inside;

const USAGE: &str = "usage: cargo xtask lab COMMAND
  up [plain]             build it (plain: prober and target on one cable, for capacity)
  down                   end its processes and remove it
  set [KEY=VALUE...]     change the link; without, a link that does nothing. Towards the target:
                         delay_us= jitter_us= loss_ppm= duplicate_ppm= corrupt_ppm=, on the way back: the same
                         with back_ before; seed=; and rate_mbit= each way (0: no limit)
  exec NODE PROGRAM...   run a program in prober, r1, r2, r2b, r3, link or target
  run                    up, the lab tests, down
  accuracy [ROUNDS]      round-trip error against a capture (5 rounds), as a table
  capacity [TARGETS]     50,000 targets at one ping a second: CPU and memory a ping, false loss
  losses [ROUNDS]        reported loss against a capture, at 0, 1 and 5 % of 10,000 packets
  lookups [ROUNDS]       error of the time of DNS lookups against a capture
  traces [RUNS]          time and rightness of traces, each protocol and fault (10 runs)
  lateness [TARGETS] [SECONDS]
                         how late the product's slots begin: 1,000 targets every 10 s, five rounds of 60 s, idle
                         and with every processor busy
";

/// Where the lab keeps what its parts tell each other.
pub(crate) const PLACE: &str = "/run/netstats-lab";

/// One command.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let done = match words {
        ["up"] => up(false),
        ["up", "plain"] => up(true),
        ["down"] => net::down(),
        ["set", settings @ ..] => link::set(settings),
        ["exec", node, program, arguments @ ..] => {
            return match net::inside(node, program).args(arguments).status() {
                Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
                Err(_) => ExitCode::FAILURE,
            };
        }
        ["run"] => tests(&mut |program, arguments| {
            let status = command(program).args(arguments).current_dir(root()).status()?;
            if status.success() { Ok(()) } else { bail!("{program} failed ({status})") }
        }),
        ["accuracy", numbers @ ..] => bench::accuracy(number(numbers, 0).unwrap_or(5)),
        ["capacity", numbers @ ..] => bench::capacity(number(numbers, 0).unwrap_or(50_000)),
        ["losses", numbers @ ..] => bench::losses(number(numbers, 0).unwrap_or(5)),
        ["lookups", numbers @ ..] => lookups::lookups(number(numbers, 0).unwrap_or(5)),
        ["traces", numbers @ ..] => traces::traces(number(numbers, 0).unwrap_or(10)),
        ["lateness", numbers @ ..] => {
            lateness::lateness(number(numbers, 0).unwrap_or(1_000), number(numbers, 1).unwrap_or(60).into())
        }
        // The lab's own processes.
        ["carry", a, b] => link::carry(a, b),
        ["serve"] => serve::serve(),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    ended("lab", done)
}

/// The number at a place of the words, if there is one.
fn number(words: &[&str], at: usize) -> Option<u32> {
    words.get(at)?.parse().ok()
}

/// Why there can be no lab here; none if there can.
pub(crate) fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces exist on Linux only".to_owned());
    }
    if let Some(missing) = ["ip", "nft", "ethtool", "tc"].into_iter().find(|program| !tools::has(program)) {
        return Some(format!("`{missing}` is missing"));
    }
    let id = command("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() != b"0" {
        return Some("network namespaces need root: sudo cargo xtask lab run".to_owned());
    }
    let made = command("ip").args(["netns", "add", "netstats-try"]).output();
    let _ = command("ip").args(["netns", "del", "netstats-try"]).output();
    match made {
        Ok(output) if output.status.success() => None,
        _ => Some("this system does not let us make network namespaces".to_owned()),
    }
}

fn up(is_plain: bool) -> Result<()> {
    if let Some(why) = obstacle() {
        bail!("{why}");
    }
    net::up(is_plain)
}

/// Builds what the tests need, then the lab, runs the tests in it and takes it down again.
pub(crate) fn tests(run: &mut dyn FnMut(&str, &[&str]) -> Result<()>) -> Result<()> {
    const TESTS: [&str; 6] = ["test", "-p", "netstats-probe", "-p", "network-stats", "--test=lab"];
    run("cargo", &[&TESTS[..], &["--no-run"]].concat())?;
    up(false)?;
    let program = [&["cargo"], &TESTS[..], &["--"]].concat();
    let result = net::enter_prober(run, &program, &["--show-output", "--test-threads=1"]);
    net::down().context("the lab does not go")?;
    result
}
