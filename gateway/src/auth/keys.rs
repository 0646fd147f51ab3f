use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
    },
};
use serde::Deserialize;

/// More keys than any provider publishes; the rest of a longer set is ignored.
const MAX_KEYS: usize = 64;

/// 2048 bits: the least that RFC 7518, section 3.3, allows for RS256.
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// A public key with the one algorithm it may verify.
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable signing keys of a JSON Web Key Set.
pub(super) struct KeySet(Vec<VerifyingKey>);

/// Why a document is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("not a JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    #[error("no usable key: RSA of 2048 bits or more, P-256 or Ed25519, for signatures")]
    NoUsableKey,
}

impl KeySet {
    /// Reads a key set. Keys of other kinds or uses are skipped, as RFC 7517, section 5, asks.
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document = serde_json::from_slice(json)?;
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter_map(verifying_key)
            .take(MAX_KEYS)
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self(keys))
    }

    /// The key that a token's header names. A header without `kid` names the only key of its
    /// algorithm, and none where there are several.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut candidates = self
            .0
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        let first = candidates.next()?;
        match (id, candidates.next()) {
            (None, Some(_)) => None,
            _ => Some(first),
        }
    }
}

fn verifying_key(jwk: Jwk) -> Option<VerifyingKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
            (modulus.len() >= MIN_RSA_MODULUS_BYTES).then_some(Algorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) => {
            (key.curve == EllipticCurve::P256).then_some(Algorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) => {
            (key.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDSA)
        }
        // A symmetric key in a public set would let anybody sign.
        _ => None,
    }?;
    if !is_for_verifying(&jwk.common, algorithm) {
        return None;
    }
    Some(VerifyingKey { key: DecodingKey::from_jwk(&jwk).ok()?, id: jwk.common.key_id, algorithm })
}

fn is_for_verifying(key: &CommonParameters, algorithm: Algorithm) -> bool {
    let use_fits = matches!(key.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations_fit =
        key.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let algorithm_fits = key.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    use_fits && operations_fit && algorithm_fits
}
