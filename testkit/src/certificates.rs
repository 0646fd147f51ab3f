//! Certificates for servers under test and their clients, made on the spot.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::unique;

/// A certificate authority that no system trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The certificate of a server or a client and its private key, in PEM.
#[derive(Debug, Clone)]
pub struct KeyedCertificate {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, unique("authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate can be signed"))
    }

    /// The root certificate, in PEM.
    #[must_use]
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// A certificate that is good now, for hosts and addresses.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> KeyedCertificate {
        self.sign(parameters(names))
    }

    /// A certificate that was good until 2020.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> KeyedCertificate {
        let mut params = parameters(names);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    /// A certificate by which a client proves that it is this user.
    #[must_use]
    pub fn issue_to_user(&self, user: &str) -> KeyedCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> KeyedCertificate {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate can be signed");
        KeyedCertificate { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("the names are names of hosts")
}
