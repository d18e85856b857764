//! TLS as a client: the system's roots, and the server's certificate seen even where it is refused.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use netstats_event::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who is trusted. Cheap to clone; the system's roots are read at the first handshake.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    roots: Arc<OnceLock<Result<Arc<WebPkiServerVerifier>, String>>>,
}

/// A handshake's end: the stream or why there is none, and the certificate that was shown.
pub(crate) struct Handshake {
    pub(crate) stream: Result<TlsStream<TcpStream>, String>,
    pub(crate) certificate_expires: Option<Timestamp>,
}

impl Tls {
    /// These roots (DER) instead of the system's.
    ///
    /// # Errors
    /// One of them is no certificate.
    pub fn trusting(roots: &[Vec<u8>]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from(root.as_slice())).map_err(|error| error.to_string())?;
        }
        let tls = Self::default();
        let _ = tls.roots.set(verifier(store));
        Ok(tls)
    }

    /// Shakes hands as a client of `name` (a host name or an address). `is_verified`: refuse a certificate that is
    /// not of a trusted issuer, not of this name or not of this day.
    pub(crate) async fn connect(&self, stream: TcpStream, name: &str, is_verified: bool, alpn: &[&str]) -> Handshake {
        let refused = |why: String| Handshake { stream: Err(why), certificate_expires: None };
        let roots = match self.roots.get_or_init(|| verifier(system_roots()?)) {
            Ok(roots) => Some(Arc::clone(roots)).filter(|_| is_verified),
            Err(_) if !is_verified => None,
            Err(why) => return refused(why.clone()),
        };
        let seen = Arc::new(Watching { roots, seen: Mutex::default(), provider: Arc::new(ring::default_provider()) });
        let name = name.split('%').next().unwrap_or(name);
        let server = match ServerName::try_from(name.to_owned()) {
            Ok(server) => server,
            Err(_) => return refused(format!("{name} is no name that a certificate could hold")),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&seen.provider));
        let mut config = match builder.with_safe_default_protocol_versions() {
            Ok(builder) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
                .with_no_client_auth(),
            Err(error) => return refused(error.to_string()),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
        let certificate_expires = *seen.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Handshake { stream: stream.map_err(|error| reason(&error)), certificate_expires }
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    match (added, found.errors.first()) {
        (0, Some(error)) => Err(format!("the system's certificate authorities cannot be read: {error}")),
        (0, None) => Err("this system has no certificate authorities: on Debian, install ca-certificates".to_owned()),
        _ => Ok(store),
    }
}

fn verifier(store: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(ring::default_provider()))
        .build()
        .map_err(|error| error.to_string())
}

/// In words: what is wrong, not how the library calls it.
fn reason(error: &io::Error) -> String {
    use rustls::CertificateError as Bad;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another name".to_owned()
            }
            Bad::UnknownIssuer | Bad::BadSignature => "the certificate's issuer is unknown".to_owned(),
            Bad::Revoked => "the certificate was revoked".to_owned(),
            other => format!("the certificate is not accepted: {other}"),
        },
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed during the handshake".to_owned(),
        None => error.to_string(),
    }
}

/// When a certificate ends; none if it cannot be read.
pub(crate) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp::from_secs(certificate.validity().not_after.timestamp()))
}

/// Checks by the roots, if there are any, and keeps the end of the first certificate shown.
struct Watching {
    roots: Option<Arc<WebPkiServerVerifier>>,
    seen: Mutex<Option<Timestamp>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("is_verified", &self.roots.is_some()).finish()
    }
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(expires) = expiry(end_entity) {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(expires);
        }
        match &self.roots {
            Some(roots) => roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
