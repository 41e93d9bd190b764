//! Histograms without a list of samples, and order statistics of short lists.

use serde_json::{Value, json};

/// Sub-buckets of each power of two: 3 % resolution.
const SUB: u32 = 32;

/// A histogram of nanoseconds with 3 % resolution.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            buckets: vec![0; (64 * SUB) as usize],
            count: 0,
            max: 0,
        }
    }

    pub fn add(&mut self, value: u64) {
        let value = value.max(u64::from(SUB));
        let power = value.ilog2();
        let sub = (value >> (power - SUB.ilog2())) as u32 - SUB;
        self.buckets[(power * SUB + sub) as usize] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// The value below which `share` of the samples lie (0 without samples).
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank {
                let (power, sub) = (index as u32 / SUB, index as u32 % SUB);
                return (u64::from(SUB + sub) << power) / u64::from(SUB);
            }
        }
        self.max
    }

    /// Counts and quantiles, values in milliseconds.
    pub fn report_ms(&self) -> Value {
        let ms = |share| self.quantile(share) as f64 / 1e6;
        json!({"count": self.count, "p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "p999": ms(0.999), "max": self.max as f64 / 1e6})
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

/// Order statistics of a list, in milliseconds.
pub fn quantiles_ms(values: &mut [u64]) -> Value {
    values.sort_unstable();
    let at = |share: f64| {
        let index = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
        values.get(index).map(|value| *value as f64 / 1e6)
    };
    json!({"count": values.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_resolution() {
        let mut histogram = Histogram::new();
        (1..=1000u64).for_each(|value| histogram.add(value * 1000));
        let p99 = histogram.quantile(0.99) as f64;
        assert!((p99 / 990_000.0 - 1.0).abs() < 0.04, "{p99}");
    }
}
