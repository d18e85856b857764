//! TLS by rustls (1.3 and 1.2, ring). The files are looked at now and then: a renewed certificate counts without a
//! restart, and a broken one leaves the old one in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error as TlsError, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Error;

/// A certificate and its key, from files. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    cert: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    seen: Mutex<Seen>,
}

/// What is presented to clients.
#[derive(Debug)]
struct Current {
    provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    changed_at: [Option<SystemTime>; 2],
    problem: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("cert", &self.0.cert).field("key", &self.0.key).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads a certificate chain and its private key, both PEM.
    ///
    /// # Errors
    /// A file cannot be read or is not PEM; the key is not the certificate's.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let seen = Seen { changed_at: changed_at(cert, key), problem: None };
        let first = read(cert, key, &provider)?;
        let current = Arc::new(Current { provider: provider.clone(), key: RwLock::new(Arc::new(first)) });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| wrong(cert, &error))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (cert, key, config) = (cert.to_owned(), key.to_owned(), Arc::new(config));
        Ok(Self(Arc::new(Inner { cert, key, config, current, seen: Mutex::new(seen) })))
    }

    /// Reads the files again if they changed. What is wrong with them is told by [`Self::problem`].
    pub fn reload_if_changed(&self) {
        let Inner { cert, key, current, seen, .. } = &*self.0;
        let now = changed_at(cert, key);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.changed_at == now {
            return;
        }
        seen.changed_at = now;
        seen.problem = match read(cert, key, &current.provider) {
            Ok(fresh) => {
                *current.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!(cert = %cert.display(), "a new certificate counts");
                None
            }
            Err(error) => {
                tracing::warn!("the new certificate was not taken up, the old one counts on: {error}");
                Some(error.to_string())
            }
        };
    }

    /// Why the files as they are now are not in use.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.config.clone())
    }
}

fn changed_at(cert: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [cert, key].map(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok())
}

fn wrong(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Tls { path: path.to_owned(), why: why.to_string() }
}

fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let certs: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| wrong(cert, &error))?;
    if certs.is_empty() {
        return Err(wrong(cert, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    CertifiedKey::from_der(certs, private, provider).map_err(|error| match error {
        TlsError::InconsistentKeys(_) => wrong(key, &format!("it is not the key of {}", cert.display())),
        other => wrong(cert, &other),
    })
}
