//! DTLS over datagrams handed in and out, and the SRTP keys it yields (RFC 5764).

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslStream, SslVerifyMode,
};
use openssl::x509::{X509, X509NameBuilder};

use crate::srtp::{Keys, Profile};

/// Largest handshake datagram, below every usual path MTU.
const MTU: u32 = 1200;

/// One certificate and one SRTP profile for every session of the process.
pub struct Identity {
    /// The context all sessions share.
    context: SslContext,
    /// SHA-256 fingerprint as in SDP.
    pub fingerprint: String,
    /// The only profile offered.
    pub profile: Profile,
}

impl Identity {
    pub fn new(profile: Profile) -> Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "load")?;
        let name = name.build();
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
        certificate.set_serial_number(&serial)?;
        certificate.set_subject_name(&name)?;
        certificate.set_issuer_name(&name)?;
        certificate.set_pubkey(&key)?;
        let (from, until) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
        certificate.set_not_before(&from)?;
        certificate.set_not_after(&until)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        let certificate = certificate.build();
        let mut context = SslContext::builder(SslMethod::dtls())?;
        context.set_certificate(&certificate)?;
        context.set_private_key(&key)?;
        context.set_tlsext_use_srtp(profile.openssl_name())?;
        context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
        context.set_mode(SslMode::RELEASE_BUFFERS);
        // Self-signed on both sides: the fingerprint in the SDP is what binds the certificate.
        context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        let fingerprint = hex(&certificate.digest(MessageDigest::sha256())?);
        Ok(Self {
            context: context.build(),
            fingerprint,
            profile,
        })
    }
}

fn hex(digest: &[u8]) -> String {
    let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// Datagrams between OpenSSL and the socket.
#[derive(Debug, Default)]
struct Pipe {
    /// Received, not yet read.
    inbox: VecDeque<Vec<u8>>,
    /// Written, not yet sent.
    outbox: Vec<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.inbox.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.outbox.push(data.to_vec());
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One DTLS association.
pub struct Dtls {
    /// OpenSSL's side of it.
    stream: SslStream<Pipe>,
    /// Whether this end sent the ClientHello.
    pub client: bool,
    /// Fingerprint the other side promised in its SDP; empty when it promised none of SHA-256.
    promised: String,
    /// The handshake is complete.
    done: bool,
}

impl Dtls {
    pub fn new(identity: &Identity, client: bool, promised: &str) -> Result<Self, ErrorStack> {
        let mut ssl = Ssl::new(&identity.context)?;
        ssl.set_mtu(MTU)?;
        if client {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let stream = SslStream::new(ssl, Pipe::default())?;
        Ok(Self {
            stream,
            client,
            promised: promised.to_owned(),
            done: false,
        })
    }

    /// Give it a datagram; `advance` makes use of it.
    pub fn feed(&mut self, datagram: &[u8]) {
        self.stream.get_mut().inbox.push_back(datagram.to_vec());
    }

    /// Continue the handshake, retransmitting where due. Keys come out once.
    pub fn advance(&mut self, profile: Profile) -> Result<Option<Keys>, String> {
        match self.stream.do_handshake() {
            Ok(()) if self.done => Ok(None),
            Ok(()) => {
                self.done = true;
                self.keys(profile).map(Some)
            }
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                Ok(None)
            }
            Err(error) => Err(format!("DTLS: {error}")),
        }
    }

    /// Application data that arrived.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut buffer = [0u8; 4096];
        while let Ok(length) = self.stream.ssl_read(&mut buffer) {
            if length == 0 {
                break;
            }
            messages.push(buffer[..length].to_vec());
        }
        messages
    }

    /// Send application data.
    pub fn send(&mut self, message: &[u8]) {
        // A full pipe cannot happen: it is a vector.
        let _ = self.stream.ssl_write(message);
    }

    /// Datagrams to put on the wire.
    pub fn output(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.stream.get_mut().outbox)
    }

    fn keys(&self, profile: Profile) -> Result<Keys, String> {
        let ssl = self.stream.ssl();
        let selected = ssl
            .selected_srtp_profile()
            .map(|selected| selected.name().to_owned());
        if selected.as_deref() != Some(profile.openssl_name()) {
            return Err(format!("SRTP profile selected: {selected:?}"));
        }
        let digest = ssl
            .peer_certificate()
            .and_then(|certificate| certificate.digest(MessageDigest::sha256()).ok());
        if !self.promised.is_empty()
            && digest.map(|digest| hex(&digest)) != Some(self.promised.clone())
        {
            return Err("the certificate is not the one promised in the SDP".to_owned());
        }
        let (key, salt) = (profile.key_bytes(), profile.salt_bytes());
        let mut material = vec![0; 2 * (key + salt)];
        ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None)
            .map_err(|error| error.to_string())?;
        let (keys, salts) = material.split_at(2 * key);
        let client = [&keys[..key], &salts[..salt]].concat();
        let server = [&keys[key..], &salts[salt..]].concat();
        let (local, remote) = if self.client {
            (client, server)
        } else {
            (server, client)
        };
        Ok(Keys { local, remote })
    }
}
