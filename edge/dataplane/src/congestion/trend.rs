//! Over-use detector (draft-ietf-rmcat-gcc-02, sections 5.3 and 5.4).
//!
//! The filter is the slope of a line through the smoothed one-way delay of the last groups, which
//! replaced the Kalman filter of section 5.3 in libwebrtc. The threshold adapts as in
//! section 5.4, so that the controller is not starved by TCP beside it.

use super::groups::Delta;

/// Groups in the regression.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f32 = 0.9;
/// Scales the slope to the unit of the threshold.
const GAIN: f32 = 4.0;
/// Groups after which the slope has its full weight.
const FULL_WEIGHT: u32 = 60;
/// `del_var_th(0)`, in milliseconds (section 5.6).
const THRESHOLD_MS: f32 = 12.5;
/// Bounds of the threshold (section 5.4).
const THRESHOLD_RANGE_MS: (f32, f32) = (6.0, 600.0);
/// `K_u` and `K_d`, per millisecond, as in libwebrtc: the draft's values suit its other filter.
const ADAPT: (f32, f32) = (0.0087, 0.039);
/// Outliers this far above the threshold do not move it (section 5.4).
const OUTLIER_MS: f32 = 15.0;
/// How long the slope must stay above the threshold (section 5.6).
const OVERUSE_TIME_MS: f32 = 10.0;

/// What the delay says of the bottleneck, in the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    /// The queue is steady.
    Normal,
    /// The queue drains.
    Underuse,
    /// The queue grows.
    Overuse,
}

/// Filter and detector.
#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival in microseconds (lower 32 bits) and smoothed delay in milliseconds of each group.
    points: [(u32, f32); WINDOW],
    /// Groups seen so far.
    groups: u32,
    /// Sum of the delay changes.
    delay_ms: f32,
    /// `delay_ms`, smoothed.
    smoothed_ms: f32,
    /// Slope at the last group.
    slope: f32,
    /// `del_var_th`.
    threshold_ms: f32,
    /// How long the slope has been above the threshold.
    over_ms: f32,
    /// Groups since the slope came above the threshold.
    over_groups: u32,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            points: [(0, 0.0); WINDOW],
            groups: 0,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            slope: 0.0,
            threshold_ms: THRESHOLD_MS,
            over_ms: 0.0,
            over_groups: 0,
        }
    }
}

impl Trend {
    /// Takes one comparison of groups.
    pub fn update(&mut self, delta: Delta) -> Signal {
        self.delay_ms += (delta.arrival_us - delta.sent_us) as f32 / 1000.0;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        self.points[self.groups as usize % WINDOW] = (delta.at as u32, self.smoothed_ms);
        self.groups = self.groups.saturating_add(1);
        if self.groups < WINDOW as u32 {
            return Signal::Normal;
        }
        let slope = self.regress(delta.at as u32);
        let scaled = slope * GAIN * self.groups.min(FULL_WEIGHT) as f32;
        let elapsed_ms = (delta.sent_us as f32 / 1000.0).clamp(0.0, 100.0);
        let signal = self.detect(slope, scaled, elapsed_ms);
        self.slope = slope;
        self.adapt(scaled.abs(), elapsed_ms);
        signal
    }

    /// Least-squares slope, in milliseconds of delay per millisecond of time.
    fn regress(&self, now: u32) -> f32 {
        let age_ms = |at: u32| -(now.wrapping_sub(at) as i32 as f32) / 1000.0;
        let count = WINDOW as f32;
        let mean_x = self.points.iter().map(|point| age_ms(point.0)).sum::<f32>() / count;
        let mean_y = self.points.iter().map(|point| point.1).sum::<f32>() / count;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for &(at, delay) in &self.points {
            let x = age_ms(at) - mean_x;
            covariance += x * (delay - mean_y);
            variance += x * x;
        }
        if variance > 0.0 {
            covariance / variance
        } else {
            self.slope
        }
    }

    fn detect(&mut self, slope: f32, scaled: f32, elapsed_ms: f32) -> Signal {
        if scaled <= self.threshold_ms {
            (self.over_ms, self.over_groups) = (0.0, 0);
            return if scaled < -self.threshold_ms {
                Signal::Underuse
            } else {
                Signal::Normal
            };
        }
        self.over_ms += elapsed_ms;
        self.over_groups += 1;
        let lasting = self.over_ms > OVERUSE_TIME_MS && self.over_groups > 1;
        // Without the last condition a queue that already drains would count (section 5.4).
        if lasting && slope >= self.slope {
            Signal::Overuse
        } else {
            Signal::Normal
        }
    }

    fn adapt(&mut self, scaled: f32, elapsed_ms: f32) {
        if scaled > self.threshold_ms + OUTLIER_MS {
            return;
        }
        let gain = if scaled < self.threshold_ms {
            ADAPT.1
        } else {
            ADAPT.0
        };
        self.threshold_ms += gain * (scaled - self.threshold_ms) * elapsed_ms;
        self.threshold_ms = self
            .threshold_ms
            .clamp(THRESHOLD_RANGE_MS.0, THRESHOLD_RANGE_MS.1);
    }
}
