//! Verification of server certificates.

use crate::process::get_or_try_init;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// Which certificates are accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Trust {
    /// Certificates issued by the system's authorities or by these.
    System(Vec<CertificateDer<'static>>),
    /// All certificates.
    Anyone,
}

impl Trust {
    /// Returns which certificates to accept. `bundle` is the file of additional authorities that the variable `AWS_CA_BUNDLE` names.
    ///
    /// Logs a warning if certificates are not verified. Fails if the file cannot be read.
    pub fn of(skip_verify: bool, bundle: Option<&OsStr>, shown: &str) -> Result<Trust, String> {
        if skip_verify {
            tracing::warn!("{shown}: skipVerify=true, so the certificate of the server is not verified");
            return Ok(Trust::Anyone);
        }
        let Some(path) = bundle.map(Path::new) else { return Ok(Trust::System(Vec::new())) };
        let failed = |cause: String| format!("cannot read {}, which AWS_CA_BUNDLE names: {cause}", path.display());
        let bundle = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bundle).collect();
        certificates.map(Trust::System).map_err(|error| failed(error.to_string()))
    }

    /// Returns the TLS configuration for a client. The system's authorities are read when the first certificate is verified.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Trust::System(extra) => {
                Arc::new(System { extra: extra.clone(), provider: provider.clone(), verifier: OnceLock::new() })
            }
            Trust::Anyone => Arc::new(Anyone(provider.clone())),
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("cannot configure TLS: {error}"))?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The system's authorities, read once per process.
///
/// The mutex is only held briefly and only taken with `try_lock`: a forked child may inherit it locked by a thread that does not
/// exist in the child. It then reads the authorities again.
static SYSTEM_VERIFIER: Mutex<Option<Arc<Verifier>>> = Mutex::new(None);

/// Returns the verifier for the system's authorities.
fn system_verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, Error> {
    if let Some(verifier) = SYSTEM_VERIFIER.try_lock().ok().and_then(|verifier| verifier.clone()) {
        return Ok(verifier);
    }
    let verifier = Arc::new(Verifier::new(provider.clone())?);
    if let Ok(mut shared) = SYSTEM_VERIFIER.try_lock() {
        *shared = Some(verifier.clone());
    }
    Ok(verifier)
}

/// A verifier for the system's authorities, which are read when the first certificate is verified.
#[derive(Debug)]
struct System {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Arc<Verifier>>,
}

impl System {
    fn verifier(&self) -> Result<&Verifier, Error> {
        let verifier = get_or_try_init(&self.verifier, || match self.extra.is_empty() {
            true => system_verifier(&self.provider),
            false => Verifier::new_with_extra_roots(self.extra.iter().cloned(), self.provider.clone()).map(Arc::new),
        });
        verifier.map(|verifier| &**verifier)
    }
}

impl ServerCertVerifier for System {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A verifier that accepts every certificate. It still checks that the server has the certificate's key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
