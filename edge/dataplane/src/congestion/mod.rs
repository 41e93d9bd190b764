//! How fast a player's path can be fed, and what a studio is told about its own.
//!
//! Theory: Google Congestion Control, draft-ietf-rmcat-gcc-02. One `Estimator` per subscriber
//! takes transport-wide feedback (or REMB, or receiver reports) and answers with a target:
//!
//! - `groups`, `trend`: arrival-time model, pre-filtering and over-use detector (sections 5.1-5.4);
//!   the arrival-time filter is a trendline, as in later libwebrtc, instead of a Kalman filter.
//! - `queue`: how long the standing queue is, and what the bottleneck delivers while it is busy.
//! - `rate`: rate control with memory of the last congestion (section 5.5).
//! - `delay`: these four joined.
//! - `loss`: loss-based control (section 6), held up by what is really delivered.
//! - `probe`: short clusters that find room which an application-limited stream cannot show.
//!
//! Nothing here reads a clock or draws a random number.

mod delay;
pub mod estimator;
pub mod feedback;
mod groups;
mod history;
mod loss;
pub mod pacer;
pub mod probe;
mod queue;
mod rate;
mod recorder;
mod throughput;
mod trend;

pub use estimator::Estimator;
pub use feedback::{Feedback, Recorder, parse};
pub use pacer::Pacer;
pub use probe::ProbePlan;
