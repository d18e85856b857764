//! What answers at the target: DNS at 198.19.255.53, HTTP at 198.19.255.80. Nothing listens anywhere else.

use std::net::{TcpListener, UdpSocket};

use anyhow::Result;

use crate::http;

/// Serves until the lab goes down.
pub(super) fn serve() -> Result<()> {
    let dns = UdpSocket::bind("198.19.255.53:53")?;
    let web = TcpListener::bind("198.19.255.80:80")?;
    http::answer_everybody(web);
    let mut query = [0; 2_048];
    loop {
        let (count, from) = dns.recv_from(&mut query)?;
        if let Some(reply) = answer(&query[..count]) {
            dns.send_to(&reply, from)?;
        }
    }
}

/// `a.lab.test` has the address 198.19.1.1; names that begin with `silent` get no answer, with `refused` that code, all
/// others do not exist.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name_end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let name = query[12..name_end].to_ascii_lowercase();
    let mut reply = query.get(..name_end + 5)?.to_vec();
    let (rcode, answers) = match name.get(1..)? {
        name if name.starts_with(b"silent") => return None,
        name if name.starts_with(b"refused") => (5, 0),
        name if name.starts_with(b"a\x03lab\x04test") => (0, 1),
        _ => (3, 0),
    };
    reply[2..12].copy_from_slice(&[0x81, 0x80 | rcode, 0, 1, 0, answers, 0, 0, 0, 0]);
    if answers > 0 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 19, 1, 1]);
    }
    Some(reply)
}
