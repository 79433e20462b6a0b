//! Whom to believe that it is the server it says.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// Whose certificates are good.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Trust {
    /// Those of the system's authorities, and of these.
    System(Vec<CertificateDer<'static>>),
    /// Anybody's.
    Anyone,
}

impl Trust {
    /// The system's, and those in the file that the variable `AWS_CA_BUNDLE` names; or anyone's, with a warning.
    pub fn of(skip_verify: bool, bundle: Option<&OsStr>, shown: &str) -> Result<Trust, String> {
        if skip_verify {
            tracing::warn!("{shown}: skipVerify=true, so nobody checks that the server is the right one");
            return Ok(Trust::Anyone);
        }
        let Some(path) = bundle.map(Path::new) else { return Ok(Trust::System(Vec::new())) };
        let failed = |cause: String| format!("AWS_CA_BUNDLE names {}: {cause}", path.display());
        let bundle = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bundle).collect();
        certificates.map(Trust::System).map_err(|error| failed(error.to_string()))
    }

    /// What a client speaks TLS with. Nothing is read from the system before somebody speaks it.
    pub fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Trust::System(extra) => {
                Arc::new(System { extra: extra.clone(), provider: provider.clone(), verifier: OnceLock::new() })
            }
            Trust::Anyone => Arc::new(Anyone(provider.clone())),
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS cannot be spoken: {error}"))?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The system's authorities, read once a process. Locked for a moment at a time, and never waited for: a forked child
/// may inherit it locked by a thread that it does not have, and reads them for itself.
static READ: Mutex<Option<Arc<Verifier>>> = Mutex::new(None);

fn of_the_system(provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, Error> {
    if let Some(verifier) = READ.try_lock().ok().and_then(|read| read.clone()) {
        return Ok(verifier);
    }
    let verifier = Arc::new(Verifier::new(provider.clone())?);
    if let Ok(mut read) = READ.try_lock() {
        *read = Some(verifier.clone());
    }
    Ok(verifier)
}

/// Asks the system's authorities, which are read when the first server shows a certificate.
#[derive(Debug)]
struct System {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Arc<Verifier>>,
}

impl System {
    fn verifier(&self) -> Result<&Verifier, Error> {
        if let Some(verifier) = self.verifier.get() {
            return Ok(verifier);
        }
        let verifier = match self.extra.is_empty() {
            true => of_the_system(&self.provider)?,
            false => Verifier::new_with_extra_roots(self.extra.iter().cloned(), self.provider.clone())?.into(),
        };
        Ok(self.verifier.get_or_init(|| verifier))
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

/// Takes every certificate. That whoever shows it has its key is still checked.
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
