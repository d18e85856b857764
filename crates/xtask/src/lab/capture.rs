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

/// A capture under way.
pub(super) struct Capture {
    child: Child,
    file: PathBuf,
}

/// Round trips in nanoseconds of each address, in order of sending; none for a request without a reply.
pub(super) type Truth = BTreeMap<Ipv4Addr, Vec<Option<i64>>>;

impl Capture {
    pub(super) fn start(interface: &str) -> Result<Self> {
        let file = PathBuf::from(format!("{PLACE}/capture.pcap"));
        let mut child = net::inside("prober", "tcpdump")
            .args(["-i", interface, "-s", "96", "-B", "65536", "-n", "--time-stamp-precision=nano"])
            // What is not yet handed over when it ends is lost to it: every packet at once, then.
            .args(["--immediate-mode", "-U", "-w"])
            .arg(&file)
            .arg("icmp")
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

/// Reads echoes out of a capture file (pcap, nanoseconds, Ethernet).
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
        let (Some(ip), Some(icmp)) = (frame.get(14..34), frame.get(34..42)) else { continue };
        let address = |from: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[from..from + 4]).expect("four"));
        let sequence = u16::from_be_bytes([icmp[6], icmp[7]]);
        match icmp[0] {
            8 => {
                let trips = truth.entry(address(16)).or_default();
                sent.insert((address(16), sequence), (stamp, trips.len()));
                trips.push(None);
            }
            0 => {
                if let Some((before, index)) = sent.remove(&(address(12), sequence))
                    && let Some(trip) = truth.get_mut(&address(12)).and_then(|trips| trips.get_mut(index))
                {
                    *trip = Some(stamp - before);
                }
            }
            _ => {}
        }
    }
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_gives_round_trips() {
        let mut file = vec![0; 24];
        file[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        let mut put = |nanos: u32, kind: u8, sequence: u8| {
            let mut frame = [0; 42];
            frame[if kind == 8 { 30 } else { 26 }..][..4].copy_from_slice(&[198, 19, 0, 5]);
            (frame[34], frame[41]) = (kind, sequence);
            for word in [7, nanos, 42, 42_u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        };
        put(100, 8, 1);
        put(200, 8, 2);
        put(900, 0, 1);
        put(950, 0, 1);
        let truth = read(&file).unwrap();
        let address = Ipv4Addr::new(198, 19, 0, 5);
        assert_eq!(truth, Truth::from([(address, vec![Some(800), None])]));
        assert!(read(&file[..20]).is_ok_and(|truth| truth.is_empty()));
        assert!(read(b"nonsense").is_err());
    }
}
