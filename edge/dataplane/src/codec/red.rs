//! Redundant audio (RFC 2198).

use std::ops::Range;

/// The payload type of the primary block, and where it stands.
pub fn primary(payload: &[u8]) -> Option<(u8, Range<usize>)> {
    let (mut at, mut redundant) = (0, 0);
    loop {
        let first = *payload.get(at)?;
        if first & 0x80 == 0 {
            let begins = at + 1 + redundant;
            return (begins <= payload.len()).then_some((first & 0x7f, begins..payload.len()));
        }
        let &[high, low] = payload.get(at + 2..at + 4)? else {
            return None;
        };
        redundant += usize::from(u16::from_be_bytes([high, low]) & 0x3ff);
        at += 4;
    }
}

/// Gives all blocks the payload type that a player knows Opus by.
pub fn retag(payload: &mut [u8], opus_payload_type: u8) {
    let mut at = 0;
    while let Some(first) = payload.get_mut(at) {
        let more = *first & 0x80;
        *first = more | opus_payload_type & 0x7f;
        if more == 0 {
            return;
        }
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_block_is_the_last() {
        let payload = [0xef, 0x0f, 0x00, 0x02, 0x6f, 1, 2, 9, 9, 9];
        assert_eq!(primary(&payload), Some((0x6f, 7..10)));
        assert_eq!(primary(&[0x6f, 9]), Some((0x6f, 1..2)));
    }

    #[test]
    fn blocks_longer_than_the_packet_are_refused() {
        assert_eq!(primary(&[0xef, 0x0f, 0x03, 0xff, 0x6f, 1]), None);
        assert_eq!(primary(&[0xef, 0x0f]), None);
        assert_eq!(primary(&[]), None);
    }

    #[test]
    fn all_blocks_are_retagged_and_nothing_else() {
        let mut payload = [0xef, 0x0f, 0x00, 0x02, 0x6f, 0xff, 0x7f];
        retag(&mut payload, 63);
        assert_eq!(payload, [0xbf, 0x0f, 0x00, 0x02, 0x3f, 0xff, 0x7f]);
    }
}
