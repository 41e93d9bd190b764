//! The edge's data plane: ICE-lite, SRTP and RTP forwarding.
//!
//! Everything but `io` and `py` thinks: values in, values out, time as an argument. `io` owns
//! sockets, threads and the clock; `py` is the only door to Python.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod choice;
pub mod codec;
pub mod congestion;
pub mod engine;
pub mod error;
pub mod io;
pub mod packet;
pub mod publisher;
#[cfg(feature = "python")]
mod py;
pub mod receive;
pub mod rewriter;
pub mod ring;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod spec;
pub mod srtp;
pub mod stats;
pub mod stream;
pub mod stun;
pub mod subscriber;
pub mod track_out;
pub mod transmit;
pub mod types;
