//! The default gateway, read from the system's routing table. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr};

/// The router this machine sends to when it knows no better way; none if there is none.
pub(crate) fn find() -> Option<IpAddr> {
    match std::env::consts::OS {
        "linux" => from_proc(&std::fs::read_to_string("/proc/net/route").ok()?),
        "macos" => from_macos_route(&output("route", &["-n", "get", "default"])?),
        "windows" => from_windows_route(&output("route", &["print", "-4", "0.0.0.0"])?),
        _ => None,
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `/proc/net/route`: hexadecimal, in the machine's byte order (proc(5)). Of several, the one of least metric.
fn from_proc(table: &str) -> Option<IpAddr> {
    const HAS_GATEWAY: u32 = 0x2;
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hex = |i: usize| u32::from_str_radix(fields.get(i)?, 16).ok();
        let is_default = hex(1)? == 0 && hex(7)? == 0 && hex(3)? & HAS_GATEWAY != 0;
        let metric: u32 = fields.get(6)?.parse().ok()?;
        is_default.then(|| Some((metric, Ipv4Addr::from(hex(2)?.to_ne_bytes()))))?
    });
    rows.min().map(|(_, gateway)| gateway.into())
}

/// `route -n get default`: a line `gateway: 192.168.1.1`.
fn from_macos_route(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| line.trim().strip_prefix("gateway:")?.trim().parse().ok())
}

/// `route print -4 0.0.0.0`: rows of destination, mask, gateway, interface, metric, whatever the language around them.
fn from_windows_route(text: &str) -> Option<IpAddr> {
    let rows = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["0.0.0.0", "0.0.0.0", gateway, _, metric] = fields[..] else { return None };
        Some((metric.parse::<u32>().ok()?, gateway.parse::<Ipv4Addr>().ok()?))
    });
    rows.min().map(|(_, gateway)| gateway.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

    #[test]
    fn linux_names_the_gateway_of_least_metric() {
        let word = |a: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(a));
        let (better, other) = (word([192, 168, 1, 1]), word([10, 0, 0, 1]));
        let table = format!(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
             wlan0\t00000000\t{other}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{better}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(from_proc(&table), Some(GATEWAY));
        assert_eq!(from_proc("Iface\tDestination\n"), None);
        assert_eq!(from_proc("x\ny z\n0 0 0 0 0 0 0 0"), None);
    }

    #[test]
    fn macos_names_it_in_a_line() {
        let text = "   route to: default\ndestination: default\n       mask: default\n    gateway: 192.168.1.1\n  interface: en0\n";
        assert_eq!(from_macos_route(text), Some(GATEWAY));
        assert_eq!(from_macos_route("route: writing to routing socket: not in table"), None);
    }

    #[test]
    fn windows_names_it_in_any_language() {
        let text = "IPv4-Routentabelle\n          0.0.0.0          0.0.0.0       10.8.0.1        10.8.0.7    281\n\
                              0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.23     25\n";
        assert_eq!(from_windows_route(text), Some(GATEWAY));
        assert_eq!(from_windows_route("0.0.0.0 0.0.0.0 Auf Verbindung 10.0.0.1 1"), None);
    }
}
