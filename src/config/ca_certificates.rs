//! The certificates of `ca_file`, which are trusted in addition to those of the system.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::text_file::TextFile;
use super::value_problem::ValueProblem;

/// Maximum size of the file. The file with all authorities of a system has about 250 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Certificates of certificate authorities, as in the proxies of companies that inspect TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaCertificates(Arc<[CertificateDer<'static>]>);

impl CaCertificates {
    /// Reads a PEM file, which other users must not be able to change. At least one certificate
    /// must be in it, and each must be valid as an authority.
    pub(super) fn read(path: &Path) -> Result<Self, ValueProblem> {
        let path_text = || path.display().to_string();
        let file = TextFile::read(path, MAX_FILE_BYTES)
            .map_err(|problem| ValueProblem::CaFile { path: path_text(), problem })?;
        if let Some(owner) = file.foreign_owner() {
            return Err(ValueProblem::CaFileForeign { path: path_text(), owner });
        }
        if file.is_writable_by_others() {
            return Err(ValueProblem::CaFileWritable { path: path_text(), mode: file.mode });
        }
        let invalid = |reason: String| ValueProblem::CaCertificate { path: path_text(), reason };
        let certificates = CertificateDer::pem_slice_iter(file.text.expose_secret().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(error.to_string()))?;
        if certificates.is_empty() {
            return Err(invalid("the file contains no certificate".into()));
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| invalid(error.to_string()))?;
        }
        Ok(Self(certificates.into()))
    }

    /// Returns the certificates in DER format.
    pub fn as_der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}
