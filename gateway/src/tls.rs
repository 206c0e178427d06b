//! TLS by rustls with the ring provider, named explicitly: two providers in one build without a choice
//! fail at run time.

use crate::{StartError, TlsFiles};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// Reads the files.
pub fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, StartError> {
    let chain = read_certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|e| bad(&files.key, &e))?;
    let provider = Arc::new(default_provider());
    let versions: &[_] = if files.tls12 { &[&TLS13, &TLS12] } else { &[&TLS13] };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|e| StartError::Tls(e.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in read_certificates(path)? {
                roots.add(root).map_err(|e| bad(path, &e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| bad(path, &e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(|e| bad(&files.certificate, &e))
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, StartError> {
    std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|source| StartError::File { path: path.to_owned(), source })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(bad(path, &"no certificate in it")),
        Err(error) => Err(bad(path, &error)),
    }
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> StartError {
    StartError::Tls(format!("{}: {why}", path.display()))
}
