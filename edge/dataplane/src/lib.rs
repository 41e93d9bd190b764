//! The edge's data plane: ICE-lite, SRTP and RTP forwarding.
//!
//! Everything but `io` and `py` thinks: values in, values out, time as an argument. `io` owns
//! sockets, threads and the clock; `py` is the only door to Python.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod codec;
pub mod congestion;
pub mod error;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod stun;
pub mod types;
