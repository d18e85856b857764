//! Whom the command line trusts over TLS: the certificate that the config file names, one given, or whatever an authority
//! given has signed. The system's authorities are not asked: the product usually signs for itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::exit::Usage;

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nobody was named: there is no certificate in the config file either.
    Nobody,
    /// These certificates, and what they have signed: a PEM file.
    File(PathBuf),
    /// The certificate with this BLAKE3 digest.
    Fingerprint([u8; 32]),
}

impl Trust {
    /// By flags, else the certificate of the config file.
    ///
    /// # Errors
    /// A fingerprint that is none.
    pub(crate) fn of(ca: Option<&Path>, fingerprint: Option<&str>, configured: Option<PathBuf>) -> Result<Self> {
        if let Some(text) = fingerprint {
            let plain: String = text.chars().filter(|c| *c != ':').collect();
            let hash = blake3::Hash::from_hex(plain.trim()).map_err(|_| {
                Usage(format!("{text:?} is no fingerprint: expected the 64 digits that `cert self-signed` shows"))
            })?;
            return Ok(Self::Fingerprint(*hash.as_bytes()));
        }
        Ok(ca.map(Path::to_owned).or(configured).map_or(Self::Nobody, Self::File))
    }

    /// How rustls is told.
    ///
    /// # Errors
    /// Nobody is trusted; the file cannot be read.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(ring::default_provider());
        let verifier = match self {
            Self::Nobody => {
                return Err(anyhow!(
                    "the product speaks TLS, and no certificate is known to trust: name it with --ca FILE, or give its \
                     --fingerprint as `network-stats cert self-signed` showed it"
                ));
            }
            Self::Fingerprint(digest) => {
                Pinned { pinned: Pin::Digest(*digest), signed: None, provider: Arc::clone(&provider) }
            }
            Self::File(path) => {
                let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect)
                    .map_err(|error| anyhow!("{}: {error}", path.display()))?;
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates.iter().cloned());
                let signed =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
                Pinned { pinned: Pin::Any(certificates), signed, provider: Arc::clone(&provider) }
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Arc::new(builder.with_no_client_auth()))
    }
}

#[derive(Debug)]
enum Pin {
    Digest([u8; 32]),
    Any(Vec<CertificateDer<'static>>),
}

/// Trusts one of the pinned certificates whatever its names, since it is the one that was meant; else what they signed,
/// for the name asked for.
#[derive(Debug)]
struct Pinned {
    pinned: Pin,
    signed: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_pinned = match &self.pinned {
            Pin::Digest(digest) => blake3::hash(end_entity).as_bytes() == digest,
            Pin::Any(certificates) => certificates.iter().any(|pinned| pinned == end_entity),
        };
        match &self.signed {
            _ if is_pinned => Ok(ServerCertVerified::assertion()),
            Some(signed) => signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(Error::General("the certificate is not the one that is trusted".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_the_config_file_and_a_fingerprint_before_a_file() {
        let configured = || Some(PathBuf::from("cert.pem"));
        assert_eq!(Trust::of(None, None, None).unwrap(), Trust::Nobody);
        assert_eq!(Trust::of(None, None, configured()).unwrap(), Trust::File("cert.pem".into()));
        assert_eq!(Trust::of(Some(Path::new("ca.pem")), None, configured()).unwrap(), Trust::File("ca.pem".into()));
        let digits = "0a".repeat(32);
        assert_eq!(Trust::of(None, Some(&digits), configured()).unwrap(), Trust::Fingerprint([10; 32]));
        assert_eq!(crate::exit::code_of(&Trust::of(None, Some("xyz"), None).unwrap_err()), 2);
        assert!(Trust::Nobody.config().unwrap_err().to_string().contains("--fingerprint"));
    }
}
