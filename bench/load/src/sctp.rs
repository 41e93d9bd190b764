//! Just enough SCTP over DTLS (RFC 9260, RFC 8261) to open one data channel (RFC 8832) and keep it.

const PORT: u16 = 5000;
const TAG: u32 = 0x1EDC_6F41;
const FIRST_TSN: u32 = 1;
const WINDOW: u32 = 131_072;
const STREAMS: u16 = 1024;
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const STATE_COOKIE: u16 = 7;
/// Payload protocol of the channel establishment protocol.
const DCEP: u32 = 50;
const DCEP_ACK: u8 = 2;
const LABEL: &[u8] = b"edge";
const RETRY_NS: u64 = 500_000_000;

/// One association with one channel.
pub struct Association {
    /// Tag the other side wants in our packets.
    remote_tag: u32,
    /// Highest TSN received in order.
    cumulative: u32,
    /// Even for the DTLS client (RFC 8832, section 6).
    stream: u16,
    /// The other side acknowledged the channel.
    pub open: bool,
    /// Sent last, repeated until the channel is open.
    last: Vec<u8>,
    next_retry_ns: u64,
}

fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, flags];
    out.extend_from_slice(&(value.len() as u16 + 4).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

/// Type, flags and value of each chunk of a packet.
fn chunks(packet: &[u8]) -> Vec<(u8, &[u8])> {
    let mut out = Vec::new();
    let mut rest = packet.get(12..).unwrap_or_default();
    while let Some(header) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let Some(value) = rest.get(4..length) else {
            break;
        };
        out.push((header[0], value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    out
}

impl Association {
    /// The association and its first packet.
    pub fn new(dtls_client: bool, now: u64) -> (Self, Vec<u8>) {
        let stream = u16::from(!dtls_client);
        let mut association = Self {
            remote_tag: 0,
            cumulative: 0,
            stream,
            open: false,
            last: Vec::new(),
            next_retry_ns: now + RETRY_NS,
        };
        let streams = u32::from(STREAMS) << 16 | u32::from(STREAMS);
        association.last =
            association.packet(&chunk(INIT, 0, &words(&[TAG, WINDOW, streams, FIRST_TSN])));
        let first = association.last.clone();
        (association, first)
    }

    /// When `retry` is due.
    pub fn deadline(&self) -> u64 {
        if self.open {
            u64::MAX
        } else {
            self.next_retry_ns
        }
    }

    /// What was sent last, again.
    pub fn retry(&mut self, now: u64) -> Vec<u8> {
        self.next_retry_ns = now + RETRY_NS;
        self.last.clone()
    }

    /// Answers to a packet.
    pub fn receive(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut data = false;
        for (kind, value) in chunks(packet) {
            match kind {
                INIT_ACK => out.extend(self.echo_cookie(value)),
                COOKIE_ACK => out.push(self.open_channel()),
                HEARTBEAT => out.push(self.packet(&chunk(HEARTBEAT + 1, 0, value))),
                DATA => {
                    data = true;
                    self.take(value);
                }
                _ => {}
            }
        }
        if data {
            out.push(self.packet(&chunk(SACK, 0, &words(&[self.cumulative, WINDOW, 0]))));
        }
        out
    }

    fn echo_cookie(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        self.remote_tag = word(value, 0)?;
        self.cumulative = word(value, 12)?.wrapping_sub(1);
        let mut parameters = value.get(16..)?;
        while let Some(header) = parameters.first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if u16::from_be_bytes([header[0], header[1]]) == STATE_COOKIE {
                self.last = self.packet(&chunk(COOKIE_ECHO, 0, parameters.get(4..length)?));
                return Some(self.last.clone());
            }
            parameters = parameters.get(length.next_multiple_of(4).max(4)..)?;
        }
        None
    }

    fn open_channel(&mut self) -> Vec<u8> {
        let mut value = words(&[FIRST_TSN, u32::from(self.stream) << 16, DCEP]);
        // DATA_CHANNEL_OPEN, reliable, priority 0.
        value.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, LABEL.len() as u8, 0, 0]);
        value.extend_from_slice(LABEL);
        self.last = self.packet(&chunk(DATA, 3, &value));
        self.last.clone()
    }

    fn take(&mut self, value: &[u8]) {
        let (Some(tsn), Some(protocol)) = (word(value, 0), word(value, 8)) else {
            return;
        };
        if tsn == self.cumulative.wrapping_add(1) {
            self.cumulative = tsn;
        }
        self.open |= protocol == DCEP && value.get(12) == Some(&DCEP_ACK);
    }

    fn packet(&self, chunk: &[u8]) -> Vec<u8> {
        let mut out = words(&[u32::from(PORT) << 16 | u32::from(PORT), self.remote_tag, 0]);
        out.extend_from_slice(chunk);
        let checksum = crc32c(&out);
        out[8..12].copy_from_slice(&checksum.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_cookie_is_echoed_and_an_acknowledged_channel_is_open() {
        let (mut association, init) = Association::new(true, 0);
        assert_eq!(chunks(&init)[0].0, INIT);
        let mut value = words(&[7, WINDOW, 0x0001_0001, 100]);
        value.extend_from_slice(&[0, 7, 0, 8, 1, 2, 3, 4]);
        let ack = association.packet(&chunk(INIT_ACK, 0, &value));
        let echo = association.receive(&ack);
        assert_eq!(chunks(&echo[0]), [(COOKIE_ECHO, &[1u8, 2, 3, 4][..])]);
        let open = association.receive(&association.packet(&chunk(COOKIE_ACK, 0, &[])));
        assert_eq!(chunks(&open[0])[0].0, DATA);
        let mut value = words(&[100, 0, DCEP]);
        value.push(DCEP_ACK);
        let sack = association.receive(&association.packet(&chunk(DATA, 3, &value)));
        assert!(association.open);
        assert_eq!(word(chunks(&sack[0])[0].1, 0), Some(100));
    }
}
