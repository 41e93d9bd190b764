//! One WHIP or WHEP session: who may talk to it, from where, and what it does.

use crate::error::Drop;
use crate::publisher::Ingest;
use crate::spec::Ice;
use crate::srtp::{Inbound, Outbound};
use crate::stun;
use crate::subscriber::Egress;
use crate::transmit::Path;
use crate::types::Micros;

/// Addresses remembered per session; a peer has a handful of candidates.
const MAX_PATHS: usize = 8;

/// What a session does.
#[derive(Debug)]
pub enum Role {
    /// Nothing yet.
    Idle,
    /// It publishes.
    Publisher(Box<Ingest>),
    /// It watches.
    Subscriber(Box<Egress>),
}

/// State of one session in its worker. No `Debug`: it holds keys.
pub struct Session {
    /// Python's number for it.
    pub handle: u64,
    /// Credentials; the newest last. An ICE restart keeps the old ones until the new path is valid.
    pub ice: Vec<Ice>,
    /// Selected path.
    pub path: Option<Path>,
    /// Validated paths, the selected one among them.
    pub paths: Vec<Path>,
    /// Last proof of life: a valid binding request or an authentic packet.
    pub alive: Micros,
    /// Whether the lapse of consent was told.
    pub lapsed: bool,
    /// Decryption.
    pub inbound: Option<Inbound>,
    /// Encryption.
    pub outbound: Option<Outbound>,
    /// What it does.
    pub role: Role,
}

/// What a valid binding request brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validated {
    /// User fragments that an ICE restart has ended.
    pub retired: Vec<String>,
    /// The path was unknown before.
    pub new_path: bool,
    /// It is the selected path now and was not before.
    pub selected: bool,
    /// A path that had to give way.
    pub evicted: Option<Path>,
}

impl Session {
    /// A session waiting for its first binding request.
    pub fn new(handle: u64, ice: Ice, now: Micros) -> Self {
        Session {
            handle,
            ice: vec![ice],
            path: None,
            paths: Vec::new(),
            alive: now,
            lapsed: false,
            inbound: None,
            outbound: None,
            role: Role::Idle,
        }
    }

    /// Check a binding request and take its path (RFC 8445, sections 7.3 and 8.1.2).
    ///
    /// Returns the password that signs the answer, and what changed.
    pub fn on_binding_request(
        &mut self,
        request: &stun::Request<'_>,
        datagram: &[u8],
        path: Path,
        now: Micros,
    ) -> Result<(String, Validated), Drop> {
        let position = self
            .ice
            .iter()
            .position(|ice| ice.local_ufrag == request.local_ufrag)
            .ok_or(Drop::UnknownUser)?;
        let ice = self.ice.get(position).ok_or(Drop::UnknownUser)?;
        request.verify(datagram, &ice.local_pwd)?;
        let password = ice.local_pwd.clone();
        let newest = position + 1 == self.ice.len();
        self.alive = now;
        let mut validated = self.take_path(path, request.use_candidate);
        if newest {
            // The restart is through: the old credentials end (RFC 8445, section 9).
            let old = self.ice.drain(..position).map(|ice| ice.local_ufrag);
            validated.retired.extend(old);
        }
        Ok((password, validated))
    }

    /// Another session has proved to own a path.
    pub fn lose_path(&mut self, path: Path) {
        self.paths.retain(|known| *known != path);
        if self.path == Some(path) {
            self.path = self.paths.last().copied();
        }
    }

    fn take_path(&mut self, path: Path, nominated: bool) -> Validated {
        let mut validated = Validated::default();
        if !self.paths.contains(&path) {
            validated.new_path = true;
            if self.paths.len() == MAX_PATHS {
                let spare = self.paths.iter().position(|old| Some(*old) != self.path);
                validated.evicted = spare.map(|position| self.paths.remove(position));
            }
            self.paths.push(path);
        }
        if self.path != Some(path) && (nominated || self.path.is_none()) {
            self.path = Some(path);
            validated.selected = true;
        }
        validated
    }
}
