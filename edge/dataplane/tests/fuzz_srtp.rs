//! Invariant: what one side protects the other reads back, once; with any bit flipped it is
//! refused and changes nothing; and no bytes whatever cause a panic.

use bolero::{TypeGenerator, check};
use dataplane::srtp::{Inbound, Outbound, Profile};
use dataplane::types::Ssrc;

/// Length of the fixed RTP header.
const HEADER: usize = 12;

/// One association and one packet of it.
#[derive(Clone, Debug, TypeGenerator)]
struct Case {
    profile: u8,
    keying: [u8; 44],
    ssrc: u32,
    sequence: u16,
    body: Vec<u8>,
    flip: usize,
}

impl Case {
    fn pair(&self) -> (Outbound, Inbound) {
        let profile = match self.profile % 3 {
            0 => Profile::AeadAes128Gcm,
            1 => Profile::AeadAes256Gcm,
            _ => Profile::Aes128CmSha1_80,
        };
        let keying = &self.keying[..profile.key_len() + profile.salt_len()];
        let outbound = Outbound::new(profile, keying).expect("keying has the profile's length");
        let inbound = Inbound::new(profile, keying).expect("keying has the profile's length");
        (outbound, inbound)
    }

    fn ssrc(&self) -> Ssrc {
        Ssrc(self.ssrc)
    }

    fn rtp(&self) -> Vec<u8> {
        let [high, low] = self.sequence.to_be_bytes();
        let header = [0x80, 96, high, low, 0, 0, 0, 0];
        [&header[..], &self.ssrc.to_be_bytes(), &self.body].concat()
    }

    fn rtcp(&self) -> Vec<u8> {
        [&[0x80, 201, 0, 1][..], &self.ssrc.to_be_bytes(), &self.body].concat()
    }

    fn flipped(&self, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let bit = self.flip % (8 * packet.len());
        packet[bit / 8] ^= 1 << (bit % 8);
        packet
    }
}

#[test]
fn rtp_comes_back_and_a_flipped_bit_is_refused() {
    check!().with_type::<Case>().for_each(|case| {
        let (mut outbound, mut inbound) = case.pair();
        let mut packet = case.rtp();
        packet.resize(packet.len() + outbound.overhead(), 0);
        outbound.protect_rtp(&mut packet, HEADER, case.ssrc(), case.sequence.into());

        let mut forged = case.flipped(&packet);
        let ssrc = Ssrc(u32::from_be_bytes([
            forged[8], forged[9], forged[10], forged[11],
        ]));
        let sequence = u16::from_be_bytes([forged[2], forged[3]]);
        assert!(
            inbound
                .unprotect_rtp(&mut forged, HEADER, ssrc, sequence)
                .is_err()
        );

        let mut read = packet.clone();
        let outcome = inbound.unprotect_rtp(&mut read, HEADER, case.ssrc(), case.sequence);
        let (end, index) = outcome.expect("a genuine packet is read");
        assert_eq!(index, u64::from(case.sequence));
        assert_eq!(read[..end], case.rtp());
        let again = inbound.unprotect_rtp(&mut packet, HEADER, case.ssrc(), case.sequence);
        assert!(again.is_err());
    });
}

#[test]
fn rtcp_comes_back_and_a_flipped_bit_is_refused() {
    check!().with_type::<Case>().for_each(|case| {
        let (mut outbound, mut inbound) = case.pair();
        let mut packet = case.rtcp();
        outbound.protect_rtcp(&mut packet);
        assert!(inbound.unprotect_rtcp(&mut case.flipped(&packet)).is_err());

        let mut read = packet.clone();
        let end = inbound
            .unprotect_rtcp(&mut read)
            .expect("a genuine packet is read");
        assert_eq!(read[..end], case.rtcp());
        assert!(inbound.unprotect_rtcp(&mut packet).is_err());
    });
}

#[test]
fn bytes_from_anywhere_are_refused() {
    check!().with_type::<Case>().for_each(|case| {
        let (_, mut inbound) = case.pair();
        assert!(inbound.unprotect_rtcp(&mut case.body.clone()).is_err());
        let header_len = case.flip % 64;
        let outcome = inbound.unprotect_rtp(
            &mut case.body.clone(),
            header_len,
            case.ssrc(),
            case.sequence,
        );
        assert!(outcome.is_err());
    });
}
