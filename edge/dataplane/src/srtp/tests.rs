//! Both directions together.

use super::*;

pub(super) const PROFILES: [Profile; 3] = [
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
    Profile::Aes128CmSha1_80,
];
const SSRC: Ssrc = Ssrc(0x5501_A0B2);
const HEADER: usize = 12;

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

fn pair(profile: Profile) -> (Outbound, Inbound) {
    let keying: Vec<u8> = (0..).take(profile.key_len() + profile.salt_len()).collect();
    let outbound = Outbound::new(profile, &keying).unwrap();
    (outbound, Inbound::new(profile, &keying).unwrap())
}

fn plain(ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.0.to_be_bytes());
    packet.extend((0..100).map(|byte| byte ^ index as u8));
    packet
}

fn protect(outbound: &mut Outbound, ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mut packet = plain(ssrc, index);
    packet.resize(packet.len() + outbound.overhead(), 0);
    outbound.protect_rtp(&mut packet, HEADER, ssrc, index);
    packet
}

fn receive(inbound: &mut Inbound, packet: &[u8], ssrc: Ssrc) -> Result<u64, Drop> {
    let mut packet = packet.to_vec();
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    let (end, index) = inbound.unprotect_rtp(&mut packet, HEADER, ssrc, sequence)?;
    assert_eq!(packet[..end], plain(ssrc, index));
    Ok(index)
}

fn report(outbound: &mut Outbound, ssrc: u8) -> Vec<u8> {
    let mut compound = vec![
        0x80, 201, 0, 1, 0, 0, 0, ssrc, 0x81, 206, 0, 2, 0, 0, 0, ssrc,
    ];
    compound.extend([0, 0, 0, 9]);
    outbound.protect_rtcp(&mut compound);
    compound
}

#[test]
fn profiles_have_openssl_names_and_sizes() {
    for (name, key, salt, rtp, rtcp) in [
        ("AEAD_AES_128_GCM", 16, 12, 16, 20),
        ("AEAD_AES_256_GCM", 32, 12, 16, 20),
        ("AES128_CM_SHA1_80", 16, 14, 10, 14),
    ] {
        let profile = Profile::from_name(name).unwrap();
        assert_eq!(Profile::from_name(&format!("SRTP_{name}")), Some(profile));
        assert_eq!((profile.key_len(), profile.salt_len()), (key, salt));
        assert_eq!(
            (profile.rtp_overhead(), profile.rtcp_overhead()),
            (rtp, rtcp)
        );
    }
    assert_eq!(Profile::from_name("SRTP_AES128_CM_SHA1_32"), None);
}

#[test]
fn packets_arrive_in_any_order_across_the_rollover() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let cycle = 1 << 16;
        for index in [
            cycle - 3,
            cycle + 1,
            cycle - 1,
            cycle + 2,
            cycle,
            cycle - 2,
            cycle + 20_000,
            cycle + 40_000,
            2 * cycle,
            2 * cycle - 1,
        ] {
            let packet = protect(&mut outbound, SSRC, index);
            assert_eq!(receive(&mut inbound, &packet, SSRC), Ok(index));
            assert_eq!(receive(&mut inbound, &packet, SSRC), Err(Drop::Replayed));
        }
        let late = protect(&mut outbound, SSRC, 2 * cycle - replay::WINDOW);
        assert_eq!(receive(&mut inbound, &late, SSRC), Err(Drop::Replayed));
    }
}

#[test]
fn forged_packets_change_nothing() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let (first, second) = (65_000, 65_001);
        let packet = protect(&mut outbound, SSRC, first);
        assert_eq!(receive(&mut inbound, &packet, SSRC), Ok(first));
        let genuine = protect(&mut outbound, SSRC, second);
        for sequence in [second as u16, 65_535, 0, 32_000, 1] {
            let mut forged = genuine.clone();
            forged[2..4].copy_from_slice(&sequence.to_be_bytes());
            *forged.last_mut().unwrap() ^= 1;
            let outcome = receive(&mut inbound, &forged, SSRC);
            assert!(
                matches!(outcome, Err(Drop::NotAuthentic | Drop::Replayed)),
                "{outcome:?}"
            );
        }
        for ssrc in 0..100u32 {
            let mut forged = genuine.clone();
            forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let outcome = receive(&mut inbound, &forged, Ssrc(ssrc));
            assert_eq!(outcome, Err(Drop::NotAuthentic), "no place was taken");
        }
        assert_eq!(receive(&mut inbound, &genuine, SSRC), Ok(second));
    }
}

#[test]
fn ssrcs_are_bounded() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for ssrc in 0..40 {
            let expected = if ssrc < replay::MAX_SSRCS as u32 {
                Ok(1)
            } else {
                Err(Drop::UnknownTrack)
            };
            let packet = protect(&mut outbound, Ssrc(ssrc), 1);
            assert_eq!(receive(&mut inbound, &packet, Ssrc(ssrc)), expected);
        }
    }
}

#[test]
fn short_packets_are_malformed() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let rtp = protect(&mut outbound, SSRC, 1);
        for len in 0..HEADER + profile.rtp_overhead() {
            let outcome = inbound.unprotect_rtp(&mut rtp[..len].to_vec(), HEADER, SSRC, 1);
            assert_eq!(outcome, Err(Drop::Malformed), "{len}");
        }
        for header_len in [0, 11, rtp.len() - 1, rtp.len() + 1, usize::MAX] {
            let outcome = inbound.unprotect_rtp(&mut rtp.clone(), header_len, SSRC, 1);
            assert_eq!(outcome, Err(Drop::Malformed), "{header_len}");
        }
        let rtcp = report(&mut outbound, 1);
        for len in 0..rtcp.len() {
            let outcome = inbound.unprotect_rtcp(&mut rtcp[..len].to_vec());
            assert!(
                matches!(outcome, Err(Drop::Malformed | Drop::NotAuthentic)),
                "{len}"
            );
        }
    }
}

#[test]
fn reports_arrive_once_and_in_any_order() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let reports: Vec<_> = [1, 2, 1, 2].map(|ssrc| report(&mut outbound, ssrc)).into();
        for chosen in [2, 0, 3, 1] {
            let mut packet = reports[chosen].clone();
            assert_eq!(inbound.unprotect_rtcp(&mut packet), Ok(20));
            assert_eq!(packet[8..12], [0x81, 206, 0, 2]);
            let replayed = inbound.unprotect_rtcp(&mut reports[chosen].clone());
            assert_eq!(replayed, Err(Drop::Replayed));
        }
    }
}

#[test]
fn clearing_the_e_bit_is_a_forgery() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let genuine = report(&mut outbound, 1);
        let mut forged = genuine.clone();
        let word = match profile {
            Profile::Aes128CmSha1_80 => forged.len() - 14,
            _ => forged.len() - 4,
        };
        forged[word] &= 0x7F;
        assert_eq!(inbound.unprotect_rtcp(&mut forged), Err(Drop::NotAuthentic));
        assert_eq!(inbound.unprotect_rtcp(&mut genuine.clone()), Ok(20));
    }
}

#[test]
fn a_spent_rtcp_key_sends_nothing() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    outbound.spend_rtcp(rtcp::MAX_INDEX - 1);
    assert_eq!(
        inbound.unprotect_rtcp(&mut report(&mut outbound, 1)),
        Ok(20)
    );
    assert!(report(&mut outbound, 1).is_empty());
}

#[test]
fn contexts_are_small() {
    assert!(size_of::<Outbound>() <= 1300, "{}", size_of::<Outbound>());
    assert!(size_of::<Inbound>() <= 1300, "{}", size_of::<Inbound>());
    assert!(
        2 * size_of::<CounterMode>() <= 2048,
        "{}",
        size_of::<CounterMode>()
    );
}
