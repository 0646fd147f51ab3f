//! What is measured of one kind of work, and the median of several rounds.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::future::BoxFuture;
use serde::Serialize;

/// What one round of some work took. Quantities that a kind of work doesn't have are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Operations per second.
    pub(crate) per_second: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    /// CPU seconds for a thousand operations, by process.
    pub(crate) cpu_seconds_per_1000: BTreeMap<&'static str, f64>,
    /// The most resident memory of the system's own processes together, in MB (10^6 bytes).
    pub(crate) peak_mb: Option<f64>,
    /// Operations that failed.
    pub(crate) failures: u64,
}

impl Figures {
    /// Latencies in milliseconds, in any order.
    pub(crate) fn with_latencies(mut self, mut latencies: Vec<f64>) -> Self {
        latencies.sort_by(f64::total_cmp);
        self.p50_ms = percentile(&latencies, 0.5);
        self.p99_ms = percentile(&latencies, 0.99);
        self.p999_ms = percentile(&latencies, 0.999);
        self
    }

    /// So many operations in so many seconds.
    pub(crate) fn with_rate(mut self, operations: usize, seconds: f64) -> Self {
        self.per_second = (seconds > 0.0).then(|| operations as f64 / seconds);
        self
    }

    /// CPU seconds by process that these operations took.
    pub(crate) fn with_cpu(mut self, seconds: &BTreeMap<&'static str, f64>, operations: usize) -> Self {
        let each =
            |(name, seconds): (&&'static str, &f64)| (*name, seconds * 1000.0 / operations.max(1) as f64);
        self.cpu_seconds_per_1000 = seconds.iter().map(each).collect();
        self
    }

    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| median(rounds.iter().filter_map(figure).collect());
        let names = rounds.iter().flat_map(|round| round.cpu_seconds_per_1000.keys().copied());
        let cpu = |name: &'static str| {
            let values = rounds.iter().filter_map(|round| round.cpu_seconds_per_1000.get(name).copied());
            Some((name, median(values.collect())?))
        };
        Self {
            per_second: of(|round| round.per_second),
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            p999_ms: of(|round| round.p999_ms),
            cpu_seconds_per_1000: names.filter_map(cpu).collect(),
            peak_mb: of(|round| round.peak_mb),
            failures: rounds.iter().map(|round| round.failures).sum(),
        }
    }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The middle of the values; the mean of the two in the middle if their number is even.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

/// Measures one round of some work.
pub(crate) type Measure<'a> = Box<dyn Fn() -> BoxFuture<'a, Result<Figures>> + Send + Sync + 'a>;

/// Takes turns between kinds of work, so that a disturbance of the machine meets each of them, and returns each one's median.
pub(crate) async fn take_turns<const N: usize>(
    rounds: usize,
    work: [Measure<'_>; N],
) -> Result<[Figures; N]> {
    let mut all: [Vec<Figures>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for (measure, rounds) in work.iter().zip(&mut all) {
            rounds.push(measure().await?);
        }
    }
    Ok(all.map(|rounds| Figures::median(&rounds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(500.0));
        assert_eq!(percentile(&values, 0.999), Some(999.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[tokio::test]
    async fn each_kind_of_work_has_the_median_of_its_own_rounds() {
        let round = std::sync::atomic::AtomicU32::new(0);
        let next = || f64::from(round.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let measure = || -> Measure<'_> {
            let next = &next;
            Box::new(move || {
                let figures = Figures { per_second: Some(next()), ..Figures::default() };
                Box::pin(async move { Ok(figures) })
            })
        };
        let [even, odd] = take_turns(3, [measure(), measure()]).await.unwrap();
        assert_eq!((even.per_second, odd.per_second), (Some(2.0), Some(3.0)));
    }
}
