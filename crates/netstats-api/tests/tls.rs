//! TLS as it is served: a client that trusts the certificate is answered, one that does not goes away, a renewed
//! certificate counts without a restart, and who never finishes a handshake is put out.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use netstats_api::Tls;
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use support::{BOUND, Server, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate for localhost in `folder`, in place of what was there.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // The key first: a pair that does not fit is not taken, and looked at again.
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

async fn served(folder: &Path, adjust: impl FnOnce(&mut netstats_api::ApiContext)) -> Server {
    let tls = Tls::load(&folder.join("cert.pem"), &folder.join("key.pem")).unwrap();
    start_with(|context| {
        context.tls = Some(tls);
        adjust(context);
    })
    .await
}

/// What the server answers over TLS to who trusts that certificate alone.
async fn ask(server: &Server, trusted: &CertificateDer<'static>, request: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let port = server.address.port();
    stream.write_all(request.replace("HOST", &format!("localhost:{port}")).as_bytes()).await?;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("an answer in time");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

const HEALTH: &str = "GET /api/health HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn who_trusts_the_certificate_is_answered_and_cookies_are_for_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let server = served(folder.path(), |_| {}).await;
    let answer = ask(&server, &certificate, HEALTH).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let post = |path: &str, body: serde_json::Value| {
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let user = json!({"name": "ada", "role": "admin", "password": "correct horse battery"});
    assert!(ask(&server, &certificate, &post("/api/users", user)).await.unwrap().starts_with("HTTP/1.1 201"));
    let login = json!({"name": "ada", "password": "correct horse battery"});
    let answer = ask(&server, &certificate, &post("/api/login", login)).await.unwrap();
    assert!(answer.contains("set-cookie: __Host-nsc=") && answer.contains("; Secure"), "{answer}");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.der().clone();
    assert!(ask(&server, &stranger, HEALTH).await.is_err(), "another certificate of that name is not trusted");
    server.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_counts_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let old = certify(folder.path());
    let server = served(folder.path(), |_| {}).await;
    ask(&server, &old, HEALTH).await.unwrap();
    // Files are told apart by their time of change.
    let new = certify(folder.path());
    let renewed = async {
        while ask(&server, &new, HEALTH).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(BOUND, renewed).await.expect("the new certificate is presented");
    assert!(ask(&server, &old, HEALTH).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn who_speaks_plain_http_or_nothing_at_all_is_put_out() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let server = served(folder.path(), |context| context.limits.head_time = Duration::from_millis(300)).await;
    for said in ["GET /api/health HTTP/1.1\r\n\r\n", "", "\u{16}\u{3}\u{1}"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("it is closed");
        assert!(ended.is_err() || !String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "nothing is told in clear");
    }
    ask(&server, &certificate, HEALTH).await.expect("and others are still served");
    server.stop().await;
}
