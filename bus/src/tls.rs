//! Root certificates from files. The certificates of a file are trusted beside the system's.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Reads a PEM file of root certificates. The error says what is wrong with the file: it can't be read, holds no certificate,
/// or holds one that can't be a root.
pub fn read_root_certificates(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    let pem = std::fs::read_to_string(path)
        .map_err(|error| format!("the file {} can't be read: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added
            .map_err(|error| format!("the file {} holds an invalid certificate: {error}", path.display()))?;
    }
    if roots.is_empty() {
        return Err(format!("the file {} holds no certificate in PEM", path.display()));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_usable_certificate_is_named() {
        let missing = read_root_certificates("/nowhere/ca.pem").unwrap_err();
        assert!(missing.starts_with("the file /nowhere/ca.pem can't be read: "), "{missing}");
        let no_certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let empty = read_root_certificates(no_certificate).unwrap_err();
        assert!(empty.ends_with("holds no certificate in PEM"), "{empty}");
    }
}
