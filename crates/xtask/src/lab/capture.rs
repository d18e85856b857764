//! A capture at the prober's interface, by tcpdump: what really left and came, by the kernel's stamps.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{PLACE, net};
use crate::step::command;

const ICMP: u8 = 1;
const UDP: u8 = 17;

/// Echoes, and DNS over UDP.
pub(super) const ECHOES: &str = "icmp";
pub(super) const DNS: &str = "udp port 53";

/// A capture under way.
pub(super) struct Capture {
    child: Child,
    file: PathBuf,
}

/// Round trips in nanoseconds of each address, in order of sending; none for a request without a reply.
pub(super) type Truth = BTreeMap<Ipv4Addr, Vec<Option<i64>>>;

impl Capture {
    /// Of what that filter lets through: [`ECHOES`] or [`DNS`].
    pub(super) fn start(interface: &str, filter: &str) -> Result<Self> {
        let file = PathBuf::from(format!("{PLACE}/capture.pcap"));
        let mut child = net::inside("prober", "tcpdump")
            .args(["-i", interface, "-s", "96", "-B", "65536", "-n", "--time-stamp-precision=nano"])
            // What is not yet handed over when it ends is lost to it: every packet at once, then.
            .args(["--immediate-mode", "-U", "-w"])
            .arg(&file)
            .arg(filter)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("tcpdump cannot be started: on Debian, sudo apt-get install tcpdump")?;
        let mut lines = BufReader::new(child.stderr.take().context("no output")?).lines();
        // It says so once it listens.
        match lines.find_map(|line| line.ok().filter(|line| line.contains("listening on"))) {
            Some(_) => {
                // What it says at its end is not of interest, but must go somewhere.
                std::thread::spawn(move || lines.count());
                Ok(Self { child, file })
            }
            None => bail!("tcpdump does not listen on {interface}"),
        }
    }

    /// Ends it when it has seen so many round trips, or after two seconds without them, and reads what it saw.
    pub(super) fn finish(mut self, trips: usize) -> Result<Truth> {
        for _ in 0..40 {
            let seen: usize = read(&fs::read(&self.file)?)?.values().map(|trips| trips.iter().flatten().count()).sum();
            if seen >= trips {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let _ = command("kill").args(["-INT", &self.child.id().to_string()]).output();
        let _ = self.child.wait();
        read(&fs::read(&self.file)?)
    }
}

/// Reads echoes and lookups out of a capture file (pcap, nanoseconds, Ethernet).
fn read(bytes: &[u8]) -> Result<Truth> {
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().expect("four")));
    if word(0) != Some(0xa1b2_3c4d) {
        bail!("this is no capture with nanoseconds");
    }
    let (mut at, mut sent, mut truth) = (24, BTreeMap::new(), Truth::new());
    while let (Some(seconds), Some(nanos), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        let Some(frame) = bytes.get(at + 16..at + 16 + length as usize) else { break };
        at += 16 + length as usize;
        let stamp = i64::from(seconds) * 1_000_000_000 + i64::from(nanos);
        match way(frame) {
            Some(Way::There(address, which)) => {
                let trips = truth.entry(address).or_default();
                sent.insert((address, which), (stamp, trips.len()));
                trips.push(None);
            }
            Some(Way::Back(address, which)) => {
                if let Some((before, index)) = sent.remove(&(address, which))
                    && let Some(trip) = truth.get_mut(&address).and_then(|trips| trips.get_mut(index))
                {
                    *trip = Some(stamp - before);
                }
            }
            None => {}
        }
    }
    Ok(truth)
}

/// A packet to or from an address, and what tells it from the others of that address.
enum Way {
    There(Ipv4Addr, u32),
    Back(Ipv4Addr, u32),
}

fn way(frame: &[u8]) -> Option<Way> {
    let (ip, inner) = (frame.get(14..34)?, frame.get(34..42)?);
    let address = |from: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[from..from + 4]).expect("four"));
    let word = |at: usize| u16::from_be_bytes([inner[at], inner[at + 1]]);
    let (there, back) = (|which| Some(Way::There(address(16), which)), |which| Some(Way::Back(address(12), which)));
    match (ip[9], inner[0]) {
        (ICMP, 8) => there(word(6).into()),
        (ICMP, 0) => back(word(6).into()),
        (UDP, _) => {
            // The client's port and the message's id.
            let id = u32::from(u16::from_be_bytes([*frame.get(42)?, *frame.get(43)?]));
            if word(2) == 53 { there(u32::from(word(0)) << 16 | id) } else { back(u32::from(word(2)) << 16 | id) }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_gives_round_trips() {
        let mut file = vec![0; 24];
        file[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        let mut put = |nanos: u32, kind: u8, sequence: u8| {
            let mut frame = [0; 44];
            let (is_there, at) = (matches!(kind, 8 | 53), if kind < 9 { 41 } else { 43 });
            frame[if is_there { 30 } else { 26 }..][..4].copy_from_slice(&[198, 19, 0, kind / 9]);
            frame[23] = if kind < 9 { ICMP } else { UDP };
            // DNS from port 7 to port 53, and back.
            (frame[35], frame[37]) = if is_there { (7, 53) } else { (53, 7) };
            if kind < 9 {
                frame[34] = kind;
            }
            frame[at] = sequence;
            for word in [7, nanos, 44, 44_u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        };
        put(100, 8, 1);
        put(200, 8, 2);
        put(900, 0, 1);
        put(950, 0, 1);
        put(960, 53, 9);
        put(970, 53, 8);
        put(990, 45, 8);
        let truth = read(&file).unwrap();
        let echoes = (Ipv4Addr::new(198, 19, 0, 0), vec![Some(800), None]);
        let lookups = (Ipv4Addr::new(198, 19, 0, 5), vec![None, Some(20)]);
        assert_eq!(truth, Truth::from([echoes, lookups]));
        assert!(read(&file[..20]).is_ok_and(|truth| truth.is_empty()));
        assert!(read(b"nonsense").is_err());
    }
}
