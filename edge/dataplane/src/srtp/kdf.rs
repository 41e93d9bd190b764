//! Session keys from a master key (RFC 3711, 4.3; RFC 7714, 11). The key derivation rate is zero,
//! the only one that DTLS-SRTP knows, so each label is derived once.

use super::Profile;
use super::cm::keystream;
use aes::{Aes128Enc, Aes256Enc};
use ctr::cipher::KeyInit;

/// What a derived key is for (RFC 3711, 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(u8);

impl Label {
    /// Encryption key, authentication key and salt of RTP.
    pub(super) const RTP: [Label; 3] = [Label(0), Label(1), Label(2)];
    /// Encryption key, authentication key and salt of RTCP.
    pub(super) const RTCP: [Label; 3] = [Label(3), Label(4), Label(5)];
}

/// A master key and salt, alive only while session keys are derived.
pub(super) struct MasterKey {
    /// The pseudo-random function is AES in counter mode under the master key.
    cipher: Prf,
    /// The salt, first byte first, 112 bits. A 96-bit salt has 16 zero bits behind it
    /// (RFC 7714, 11).
    salt: u128,
}

enum Prf {
    /// For 16-byte keys.
    Aes128(Aes128Enc),
    /// For 32-byte keys.
    Aes256(Aes256Enc),
}

impl MasterKey {
    /// `None` unless `keying` is key and salt of the profile's lengths.
    pub(super) fn new(profile: Profile, keying: &[u8]) -> Option<MasterKey> {
        let (key, salt) = keying.split_at_checked(profile.key_len())?;
        if salt.len() != profile.salt_len() {
            return None;
        }
        let cipher = match profile.key_len() {
            16 => Prf::Aes128(Aes128Enc::new_from_slice(key).ok()?),
            _ => Prf::Aes256(Aes256Enc::new_from_slice(key).ok()?),
        };
        let mut padded = [0; 16];
        padded.get_mut(2..2 + salt.len())?.copy_from_slice(salt);
        Some(MasterKey {
            cipher,
            salt: u128::from_be_bytes(padded),
        })
    }

    /// Fills `out` with the key of this label.
    pub(super) fn derive(&self, Label(label): Label, out: &mut [u8]) {
        let x = self.salt ^ (u128::from(label) << 48);
        out.fill(0);
        match &self.cipher {
            Prf::Aes128(cipher) => keystream(cipher, x << 16, out),
            Prf::Aes256(cipher) => keystream(cipher, x << 16, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    #[test]
    fn derives_the_keys_of_rfc_3711_b_3() {
        let keying = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let master = MasterKey::new(Profile::Aes128CmSha1_80, &keying).unwrap();
        let derive = |label, len| {
            let mut out = vec![0xAA; len];
            master.derive(label, &mut out);
            out
        };
        let [key, auth, salt] = Label::RTP;
        assert_eq!(derive(key, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive(salt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let expected = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
             E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(derive(auth, 94), hex(expected));
    }

    #[test]
    fn refuses_keying_of_another_length() {
        for profile in crate::srtp::tests::PROFILES {
            let len = profile.key_len() + profile.salt_len();
            for wrong in [0, 1, profile.key_len(), len - 1, len + 1, 60] {
                assert!(wrong == len || MasterKey::new(profile, &vec![0; wrong]).is_none());
            }
            assert!(MasterKey::new(profile, &vec![0; len]).is_some());
        }
    }
}
