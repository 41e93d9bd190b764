//! The engine end to end in virtual time: no socket, no clock, no sleep.

mod access;
mod chaos;
mod layers;
mod limits;
mod media;
mod net;
mod player;
mod publishing;
mod repairing;
mod rig;
mod sending;
mod starting;
mod studio;
mod takeover;
