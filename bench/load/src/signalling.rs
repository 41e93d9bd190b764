//! How a player gets its session: WHEP, or the HTTP API of Janus's streaming plugin.

use serde_json::{Value, json};

use crate::dtls::Identity;
use crate::http::{self, Pool, Response, Url};
use crate::publish::{AUDIO_PT, VIDEO_PT};
use crate::sdp::{self, Local, Remote};
use crate::sys::Poll;
use crate::transport::Transport;

/// What an answer from the server means for a player.
pub enum Step {
    /// The player (number, session path) has the other side's description; we wrote the offer.
    Answered(usize, Remote, Option<String>),
    /// As `Answered`, but the other side wrote the offer and waits for our answer.
    Offered(usize, Remote),
    /// The player got no session.
    Refused(usize, String),
}

/// See the module.
pub enum Signalling {
    Whep {
        urls: Vec<Url>,
        audio: bool,
        channel: bool,
    },
    Janus {
        session: String,
        handles: Vec<(u64, usize)>,
        mountpoint: u64,
    },
}

const SDP: &str = "application/sdp";
const JSON: &str = "application/json";
/// Request kinds, in the upper bits of a tag.
const ATTACH: u64 = 1 << 40;
const MESSAGE: u64 = 2 << 40;
const EVENTS: u64 = 3 << 40;
const DELETE: u64 = 4 << 40;
const KIND: u64 = 0xFF << 40;

fn description(
    transport: &Transport,
    identity: &Identity,
    setup: &str,
    sections: Vec<(&str, String, u8)>,
) -> String {
    let Ok(address) = transport.socket.local_addr() else {
        return String::new();
    };
    Local {
        ufrag: &transport.ufrag,
        pwd: &transport.pwd,
        fingerprint: &identity.fingerprint,
        address,
        setup,
        direction: "recvonly",
        sections,
        ssrcs: None,
    }
    .text()
}

impl Signalling {
    /// `kind` is `whep` or `janus`. Players go round the URLs (all of one server); a Janus URL is
    /// `http://host:port/janus`, its mountpoint has id 1. Then: whether they want sound, a data channel.
    pub fn new(
        kind: &str,
        urls: &[String],
        (audio, channel): (bool, bool),
        poll: &Poll,
        pool: &mut Pool,
    ) -> Result<Self, String> {
        let urls = urls
            .iter()
            .map(|url| Url::parse(url))
            .collect::<Result<Vec<_>, _>>()?;
        let url = urls.first().ok_or("a URL is needed")?;
        match kind {
            "whep" => Ok(Self::Whep {
                urls,
                audio,
                channel,
            }),
            "janus" => {
                let body = json!({"janus": "create", "transaction": "load"}).to_string();
                let response = http::once(url, None, "POST", JSON, &body)?;
                let value: Value =
                    serde_json::from_str(&response.body).map_err(|error| error.to_string())?;
                let id = value["data"]["id"]
                    .as_u64()
                    .ok_or_else(|| format!("janus: {value}"))?;
                let session = format!("{}/{id}", url.path);
                pool.request(
                    poll,
                    EVENTS,
                    "GET",
                    &format!("{session}?maxev=10"),
                    JSON,
                    "",
                );
                Ok(Self::Janus {
                    session,
                    handles: Vec::new(),
                    mountpoint: 1,
                })
            }
            _ => Err(format!("unknown signalling {kind}")),
        }
    }

    /// Ask for a session.
    pub fn join(
        &self,
        player: usize,
        transport: &Transport,
        identity: &Identity,
        poll: &Poll,
        pool: &mut Pool,
    ) {
        let tag = player as u64;
        match self {
            Self::Whep {
                urls,
                audio,
                channel,
            } => {
                let Some(url) = urls.get(player % urls.len().max(1)) else {
                    return;
                };
                let mut sections = vec![("video", "0".to_owned(), VIDEO_PT)];
                if *audio {
                    sections.push(("audio", "1".to_owned(), AUDIO_PT));
                }
                if *channel {
                    sections.push(("application", "2".to_owned(), 0));
                }
                pool.request(
                    poll,
                    tag,
                    "POST",
                    &url.path,
                    SDP,
                    &description(transport, identity, "actpass", sections),
                );
            }
            Self::Janus { session, .. } => {
                let body = json!({"janus": "attach", "plugin": "janus.plugin.streaming", "transaction": "load"});
                pool.request(poll, tag | ATTACH, "POST", session, JSON, &body.to_string());
            }
        }
    }

    /// Make sense of a response.
    pub fn receive(&mut self, response: &Response, poll: &Poll, pool: &mut Pool) -> Vec<Step> {
        let player = (response.tag & 0xFFFF_FFFF) as usize;
        match (response.tag & KIND, self) {
            (0, _) if matches!(response.status, 200 | 201) => {
                let location = response.location.as_deref().map(Url::path_of);
                vec![Step::Answered(player, sdp::parse(&response.body), location)]
            }
            (0, _) => vec![Step::Refused(
                player,
                format!("status {}: {}", response.status, response.body),
            )],
            (
                ATTACH,
                Self::Janus {
                    session,
                    handles,
                    mountpoint,
                },
            ) => {
                let value: Value = serde_json::from_str(&response.body).unwrap_or_default();
                let Some(handle) = value["data"]["id"].as_u64() else {
                    return vec![Step::Refused(player, response.body.clone())];
                };
                handles.push((handle, player));
                let body = json!({"janus": "message", "transaction": "load", "body": {"request": "watch", "id": mountpoint}});
                pool.request(
                    poll,
                    MESSAGE,
                    "POST",
                    &format!("{session}/{handle}"),
                    JSON,
                    &body.to_string(),
                );
                Vec::new()
            }
            (
                EVENTS,
                Self::Janus {
                    session, handles, ..
                },
            ) => {
                pool.request(
                    poll,
                    EVENTS,
                    "GET",
                    &format!("{session}?maxev=10"),
                    JSON,
                    "",
                );
                let value: Value = serde_json::from_str(&response.body).unwrap_or_default();
                let events = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                events
                    .iter()
                    .filter_map(|event| offered(event, handles))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Answer an offer that came with `Step::Offered`.
    pub fn answer(
        &self,
        player: usize,
        remote: &Remote,
        transport: &Transport,
        identity: &Identity,
        poll: &Poll,
        pool: &mut Pool,
    ) {
        let Self::Janus {
            session, handles, ..
        } = self
        else {
            return;
        };
        let Some((handle, _)) = handles.iter().find(|(_, owner)| *owner == player) else {
            return;
        };
        let sections = remote
            .sections
            .iter()
            .map(|(kind, mid, pt)| (kind.as_str(), mid.clone(), *pt))
            .collect();
        let sdp = description(transport, identity, "active", sections);
        let body = json!({"janus": "message", "transaction": "load", "body": {"request": "start"}, "jsep": {"type": "answer", "sdp": sdp}});
        pool.request(
            poll,
            MESSAGE,
            "POST",
            &format!("{session}/{handle}"),
            JSON,
            &body.to_string(),
        );
    }

    /// End every session; the count of requests under way comes out.
    pub fn leave<'a>(
        &self,
        locations: impl Iterator<Item = &'a str>,
        poll: &Poll,
        pool: &mut Pool,
    ) -> usize {
        if let Self::Janus { session, .. } = self {
            let body = json!({"janus": "destroy", "transaction": "load"}).to_string();
            pool.request(poll, DELETE, "POST", session, JSON, &body);
            return 1;
        }
        let mut count = 0;
        for location in locations {
            pool.request(poll, DELETE, "DELETE", location, SDP, "");
            count += 1;
        }
        count
    }

    /// Whether a response ends a session.
    pub fn is_goodbye(response: &Response) -> bool {
        response.tag & KIND == DELETE
    }
}

fn offered(event: &Value, handles: &[(u64, usize)]) -> Option<Step> {
    let sender = event["sender"].as_u64()?;
    let player = handles.iter().find(|(handle, _)| *handle == sender)?.1;
    if let Some(sdp) = event["jsep"]["sdp"].as_str() {
        return Some(Step::Offered(player, sdp::parse(sdp)));
    }
    let error = event["plugindata"]["data"]["error"].as_str()?;
    Some(Step::Refused(player, error.to_owned()))
}
