//! The descriptions this tool writes, and what it reads from those it gets.

use std::fmt::Write;
use std::net::SocketAddr;

/// URI of transport-wide congestion control.
pub const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What an offer or answer of this tool says.
pub struct Local<'a> {
    /// ICE user fragment and password.
    pub ufrag: &'a str,
    pub pwd: &'a str,
    /// SHA-256 fingerprint of the certificate.
    pub fingerprint: &'a str,
    /// Address of the only candidate.
    pub address: SocketAddr,
    /// `actpass` in offers, `active` in answers.
    pub setup: &'a str,
    /// `sendonly` or `recvonly`.
    pub direction: &'a str,
    /// (kind, mid, payload type) of each section.
    pub sections: Vec<(&'a str, String, u8)>,
    /// SSRCs announced by a publisher: video, audio.
    pub ssrcs: Option<(u32, u32)>,
}

impl Local<'_> {
    /// The description as text.
    pub fn text(&self) -> String {
        let mids: Vec<&str> = self
            .sections
            .iter()
            .map(|(_, mid, _)| mid.as_str())
            .collect();
        let mut out = format!(
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=msid-semantic: WMS *\r\n",
            mids.join(" ")
        );
        for (kind, mid, payload_type) in &self.sections {
            self.section(&mut out, kind, mid, *payload_type);
        }
        out
    }

    fn section(&self, out: &mut String, kind: &str, mid: &str, pt: u8) {
        let line = match kind {
            "application" => "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
            _ => format!("m={kind} 9 UDP/TLS/RTP/SAVPF {pt}"),
        };
        let _ = write!(
            out,
            "{line}\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host\r\na=end-of-candidates\r\n\
             a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:{}\r\na=mid:{mid}\r\n",
            self.address.port(),
            self.ufrag,
            self.pwd,
            self.fingerprint,
            self.setup
        );
        if kind == "application" {
            out.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n");
            return;
        }
        let _ = write!(
            out,
            "a={}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
            self.direction
        );
        if kind == "video" {
            let _ = write!(
                out,
                "a=rtpmap:{pt} H264/90000\r\na=rtcp-fb:{pt} nack\r\na=rtcp-fb:{pt} nack pli\r\na=rtcp-fb:{pt} ccm fir\r\n\
                 a=fmtp:{pt} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
            );
        } else {
            let _ = write!(
                out,
                "a=rtpmap:{pt} opus/48000/2\r\na=fmtp:{pt} minptime=10;useinbandfec=1\r\n"
            );
        }
        if let Some((video, audio)) = self.ssrcs {
            let ssrc = if kind == "video" { video } else { audio };
            let _ = write!(
                out,
                "a=extmap:3 {TRANSPORT_CC}\r\na=rtcp-fb:{pt} transport-cc\r\na=msid:load {kind}\r\na=ssrc:{ssrc} cname:load\r\na=ssrc:{ssrc} msid:load {kind}\r\n"
            );
        }
    }
}

/// What the other side's description says.
#[derive(Debug, Default, Clone)]
pub struct Remote {
    pub ufrag: String,
    pub pwd: String,
    /// SHA-256 fingerprint, upper case, or empty.
    pub fingerprint: String,
    /// `active`, `passive` or `actpass`.
    pub setup: String,
    pub lite: bool,
    /// The first IPv4 UDP host candidate.
    pub address: Option<SocketAddr>,
    /// (kind, mid, first payload type) of each section.
    pub sections: Vec<(String, String, u8)>,
    /// Id of the transport-wide-cc extension in the first section that has it.
    pub transport_cc: Option<u8>,
}

/// Read a description; the first value of each attribute wins (everything is bundled).
pub fn parse(text: &str) -> Remote {
    let mut remote = Remote::default();
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<&str> = media.split(' ').collect();
            let payload_type = words.get(3).and_then(|word| word.parse().ok()).unwrap_or(0);
            let kind = words.first().copied().unwrap_or_default();
            remote
                .sections
                .push((kind.to_owned(), String::new(), payload_type));
            continue;
        }
        let Some(attribute) = line.strip_prefix("a=") else {
            continue;
        };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        attribute_read(&mut remote, name, value);
    }
    remote
}

fn attribute_read(remote: &mut Remote, name: &str, value: &str) {
    let first = |slot: &mut String| {
        if slot.is_empty() {
            value.clone_into(slot);
        }
    };
    match name {
        "ice-ufrag" => first(&mut remote.ufrag),
        "ice-pwd" => first(&mut remote.pwd),
        "setup" => first(&mut remote.setup),
        "ice-lite" => remote.lite = true,
        "fingerprint" if remote.fingerprint.is_empty() => {
            if let Some(("sha-256", digest)) = value.split_once(' ') {
                remote.fingerprint = digest.to_uppercase();
            }
        }
        "mid" => {
            if let Some(section) = remote.sections.last_mut() {
                value.clone_into(&mut section.1);
            }
        }
        "extmap" if remote.transport_cc.is_none() && value.ends_with(TRANSPORT_CC) => {
            remote.transport_cc = value
                .split([' ', '/'])
                .next()
                .and_then(|id| id.parse().ok());
        }
        "candidate" if remote.address.is_none() => remote.address = candidate(value),
        _ => {}
    }
}

fn candidate(value: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = value.split(' ').collect();
    let usable = words.get(1) == Some(&"1") && words.get(2)?.eq_ignore_ascii_case("udp");
    let address = SocketAddr::new(words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?);
    (usable && address.is_ipv4()).then_some(address)
}
