//! Why the data plane dropped or refused something. Codes equal those of `edge.errors`.

/// A datagram that was dropped, by reason. Nothing a peer sends causes anything worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// Not STUN, DTLS, RTP or RTCP (RFC 7983), or too short to tell.
    UnknownProtocol,
    /// No session has this source address.
    UnknownSource,
    /// STUN: no session has this user name.
    UnknownUser,
    /// STUN: MESSAGE-INTEGRITY or FINGERPRINT is wrong or missing.
    BadIntegrity,
    /// A length or field contradicts the packet.
    Malformed,
    /// SRTP or SRTCP: the authentication tag is wrong, or there are no keys yet.
    NotAuthentic,
    /// SRTP or SRTCP: seen before, or older than the replay window.
    Replayed,
    /// RTP: no track has this SSRC, RID or payload type.
    UnknownTrack,
}

impl Drop {
    /// All reasons, in the order of `index`.
    pub const ALL: [Drop; 8] = [
        Drop::UnknownProtocol,
        Drop::UnknownSource,
        Drop::UnknownUser,
        Drop::BadIntegrity,
        Drop::Malformed,
        Drop::NotAuthentic,
        Drop::Replayed,
        Drop::UnknownTrack,
    ];

    /// Position in an array of counters.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stable name in metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            Drop::UnknownProtocol => "unknown_protocol",
            Drop::UnknownSource => "unknown_source",
            Drop::UnknownUser => "unknown_user",
            Drop::BadIntegrity => "bad_integrity",
            Drop::Malformed => "malformed",
            Drop::NotAuthentic => "not_authentic",
            Drop::Replayed => "replayed",
            Drop::UnknownTrack => "unknown_track",
        }
    }
}
