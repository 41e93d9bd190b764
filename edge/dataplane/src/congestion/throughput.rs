//! Delivered bit rate over the last half second, by the receiver's clock.

/// Width of a bucket.
const BUCKET_US: i64 = 32_000;
/// Buckets: half a second evens out the frames of 30 fps video.
const BUCKETS: usize = 16;
/// Shortest span that gives a rate.
const SHORTEST_US: i64 = 150_000;

/// Received bytes in a ring of buckets (`R_hat` of draft-ietf-rmcat-gcc-02, section 5.5).
#[derive(Debug, Default)]
pub(super) struct Throughput {
    /// Bytes by bucket number modulo `BUCKETS`.
    bytes: [u32; BUCKETS],
    /// Number of the newest bucket.
    newest: i64,
    /// First arrival in the ring's life.
    first: Option<i64>,
    /// Latest arrival.
    last: i64,
}

impl Throughput {
    /// Counts one received packet.
    pub fn push(&mut self, arrival: i64, size: u32) {
        let bucket = arrival.div_euclid(BUCKET_US);
        if self.first.is_none() || bucket > self.newest + BUCKETS as i64 {
            *self = Self {
                newest: bucket,
                first: Some(arrival),
                last: arrival,
                ..Self::default()
            };
        }
        while self.newest < bucket {
            self.newest += 1;
            self.bytes[self.newest.rem_euclid(BUCKETS as i64) as usize] = 0;
        }
        if bucket + (BUCKETS as i64) <= self.newest {
            return;
        }
        let slot = &mut self.bytes[bucket.rem_euclid(BUCKETS as i64) as usize];
        *slot = slot.saturating_add(size);
        self.last = self.last.max(arrival);
    }

    /// The rate; none before there is enough to tell.
    pub fn bps(&self) -> Option<f64> {
        let oldest = (self.newest - BUCKETS as i64 + 1) * BUCKET_US;
        let span = self.last - self.first?.max(oldest);
        let bytes: u64 = self.bytes.iter().copied().map(u64::from).sum();
        (span >= SHORTEST_US).then(|| bytes as f64 * 8e6 / span as f64)
    }
}
