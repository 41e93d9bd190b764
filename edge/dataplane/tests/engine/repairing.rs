//! repairing
