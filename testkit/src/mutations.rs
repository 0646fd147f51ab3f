//! Inputs for what reads untrusted bytes: samples, changed at random, the same ones each time.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What parsers stumble over.
const PIECES: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-",
    b"0",
    b"1e999",
    b"\0",
    b"\xff",
    b"\n",
    b"\\ud800",
    b"\\u0000",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"99999999999999999999",
    b"{\"a\":",
    b"[[[[[[[[",
    b"",
];

/// Returns so many inputs: each one of the samples with a few bytes changed, inserted, removed, repeated or taken from
/// another sample. `WAYBILL_FUZZ_CASES` says how many instead.
pub fn mutations(samples: &[impl AsRef<[u8]>], cases: u64) -> impl Iterator<Item = Vec<u8>> {
    let samples: Vec<Vec<u8>> = samples.iter().map(|sample| sample.as_ref().to_vec()).collect();
    (0..fuzz_cases(cases)).map(move |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut input = samples[rng.random_range(0..samples.len())].clone();
        for _ in 0..rng.random_range(1..=4) {
            mutate(&mut input, &samples, &mut rng);
        }
        input
    })
}

/// Returns how many cases a test tries.
#[expect(clippy::disallowed_methods, reason = "a long run is asked for by this variable")]
pub fn fuzz_cases(cases: u64) -> u64 {
    let given = std::env::var("WAYBILL_FUZZ_CASES");
    given.map_or(cases, |given| given.parse().expect("WAYBILL_FUZZ_CASES is a number"))
}

fn mutate(input: &mut Vec<u8>, samples: &[Vec<u8>], rng: &mut StdRng) {
    let start = rng.random_range(0..=input.len());
    let end = rng.random_range(start..=input.len().min(start + 16));
    match rng.random_range(0..6) {
        0 if start < input.len() => input[start] = rng.random(),
        1 => drop(input.drain(start..end)),
        2 => {
            let repeated = input[start..end].repeat(rng.random_range(1..40));
            drop(input.splice(start..start, repeated));
        }
        3 => input.truncate(start),
        4 => {
            let other = &samples[rng.random_range(0..samples.len())];
            let from = rng.random_range(0..=other.len());
            input.truncate(start);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let piece = PIECES[rng.random_range(0..PIECES.len())];
            drop(input.splice(start..end, piece.iter().copied()));
        }
    }
}
