//! Lists of equal-sized entries inside RTCP packets, read where they lie.

use core::marker::PhantomData;

use crate::types::Ssrc;

/// What a sender says of itself (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time of the report, NTP 32.32.
    pub ntp: u64,
    /// The same instant in the stream's media time.
    pub rtp: u32,
    /// Packets sent since the start.
    pub packets: u32,
    /// Payload octets sent since the start.
    pub octets: u32,
}

/// What a receiver says of one source (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits; negative when duplicates outnumber losses.
    pub lost: i32,
    /// Highest sequence number received, extended to 32 bits.
    pub highest: u32,
    /// Interarrival jitter in media time units.
    pub jitter: u32,
    /// `ntp_middle` of the last sender report, or 0.
    pub last_sr: u32,
    /// Time since that report, in 1/65536 s.
    pub delay_since_sr: u32,
}

/// A DLRR sub-block: lets a receiver know its round trip (RFC 3611, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The receiver addressed.
    pub ssrc: Ssrc,
    /// `ntp_middle` of its last reference time, or 0.
    pub last_rr: u32,
    /// Time since that report, in 1/65536 s.
    pub delay_since_rr: u32,
}

/// Entries read one by one from a packet; what is left over at the end is not an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<'a, E> {
    /// What is still to be read.
    rest: &'a [u8],
    /// What the octets mean.
    entry: PhantomData<E>,
}

/// Report blocks of a sender or receiver report.
pub type Reports<'a> = Entries<'a, ReportBlock>;
/// Sources named by a BYE or REMB.
pub type Ssrcs<'a> = Entries<'a, Ssrc>;
/// Sources asked for a key frame, each with its command sequence number.
pub type FirEntries<'a> = Entries<'a, (Ssrc, u8)>;
/// Sub-blocks of a DLRR block.
pub type Delays<'a> = Entries<'a, Delay>;

impl<'a, E> Entries<'a, E> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            entry: PhantomData,
        }
    }
}

impl<E: Entry> Iterator for Entries<'_, E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        E::read(&mut self.rest)
    }
}

/// Something read from the front of a slice.
pub trait Entry: Sized {
    /// Takes one entry; none, with the slice in any state, if it is too short.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

impl Entry for u8 {
    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from).map(u8::from_be_bytes)
    }
}

impl Entry for u16 {
    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from).map(u16::from_be_bytes)
    }
}

impl Entry for u32 {
    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from).map(u32::from_be_bytes)
    }
}

impl Entry for u64 {
    fn read(from: &mut &[u8]) -> Option<Self> {
        take(from).map(u64::from_be_bytes)
    }
}

impl Entry for Ssrc {
    fn read(from: &mut &[u8]) -> Option<Self> {
        u32::read(from).map(Ssrc)
    }
}

impl Entry for SenderInfo {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            ntp: u64::read(from)?,
            rtp: u32::read(from)?,
            packets: u32::read(from)?,
            octets: u32::read(from)?,
        })
    }
}

impl Entry for ReportBlock {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let ssrc = Ssrc::read(from)?;
        let [fraction_lost, l0, l1, l2] = take(from)?;
        Some(Self {
            ssrc,
            fraction_lost,
            lost: i32::from_be_bytes([l0, l1, l2, 0]) >> 8, // keeps the sign
            highest: u32::read(from)?,
            jitter: u32::read(from)?,
            last_sr: u32::read(from)?,
            delay_since_sr: u32::read(from)?,
        })
    }
}

impl Entry for (Ssrc, u8) {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let ssrc = Ssrc::read(from)?;
        let [command_sequence, _, _, _] = take(from)?;
        Some((ssrc, command_sequence))
    }
}

impl Entry for Delay {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            ssrc: Ssrc::read(from)?,
            last_rr: u32::read(from)?,
            delay_since_rr: u32::read(from)?,
        })
    }
}

/// The next `N` octets.
pub(super) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*bytes)
}
