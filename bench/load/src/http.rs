//! A small HTTP/1.1 client: many requests at once over kept-alive connections, one thread.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::sys::Poll;

/// Connections opened at most.
const CONNECTIONS: usize = 256;

/// `http://host:port/path` taken apart.
#[derive(Clone, Debug)]
pub struct Url {
    /// `host:port`.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| format!("not an http URL: {text}"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        Ok(Self {
            authority,
            path: format!("/{path}"),
        })
    }

    /// The path of a Location header, absolute or relative to the root.
    pub fn path_of(location: &str) -> String {
        Self::parse(location).map_or_else(|_| location.to_owned(), |url| url.path)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The caller's mark of the request.
    pub tag: u64,
    pub status: u16,
    pub location: Option<String>,
    pub body: String,
}

/// One kept-alive connection.
struct Connection {
    stream: TcpStream,
    /// Tag of the request under way.
    busy: Option<u64>,
    /// Bytes of the answer so far.
    received: Vec<u8>,
}

/// Connections to one authority.
pub struct Pool {
    authority: String,
    /// Extra header lines, each ended by CRLF.
    headers: String,
    connections: Vec<Connection>,
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// Poll token of connection 0; the others follow.
    base: u64,
}

impl Pool {
    pub fn new(authority: &str, token: Option<&str>, base: u64) -> Self {
        let headers = token
            .map(|token| format!("Authorization: Bearer {token}\r\n"))
            .unwrap_or_default();
        Self {
            authority: authority.to_owned(),
            headers,
            connections: Vec::new(),
            waiting: VecDeque::new(),
            base,
        }
    }

    /// Start a request; its answer comes out of `ready`.
    pub fn request(
        &mut self,
        poll: &Poll,
        tag: u64,
        method: &str,
        path: &str,
        kind: &str,
        body: &str,
    ) {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n{body}",
            self.authority,
            body.len(),
            self.headers
        );
        self.waiting.push_back((tag, text.into_bytes()));
        self.dispatch(poll);
    }

    /// Read connection `token - base`; a whole answer, or an error as status 0.
    pub fn ready(&mut self, poll: &Poll, token: u64) -> Option<Response> {
        let connection = self.connections.get_mut((token - self.base) as usize)?;
        let response = match read_some(connection) {
            Ok(true) => connection.busy.map(|tag| failed(tag, "connection closed")),
            Ok(false) => parse(connection),
            Err(error) => connection.busy.map(|tag| failed(tag, &error.to_string())),
        };
        if response.is_some() {
            connection.busy = None;
            connection.received.clear();
            self.dispatch(poll);
        }
        response
    }

    fn dispatch(&mut self, poll: &Poll) {
        while !self.waiting.is_empty() {
            let free = self
                .connections
                .iter()
                .position(|connection| connection.busy.is_none());
            let Some(index) = free.or_else(|| self.open(poll)) else {
                return;
            };
            let Some((tag, text)) = self.waiting.pop_front() else {
                return;
            };
            let sent = self.send(poll, index, &text);
            self.connections[index].busy = Some(tag);
            if let Err(error) = sent {
                eprintln!("http: {error}");
            }
        }
    }

    fn send(&mut self, poll: &Poll, index: usize, text: &[u8]) -> std::io::Result<()> {
        if self.connections[index].stream.write_all(text).is_ok() {
            return Ok(());
        }
        // The server closed an idle connection: replace it once.
        let stream = connect(&self.authority)?;
        poll.add(&stream, self.base + index as u64)?;
        self.connections[index].stream = stream;
        self.connections[index].stream.write_all(text)
    }

    fn open(&mut self, poll: &Poll) -> Option<usize> {
        if self.connections.len() >= CONNECTIONS {
            return None;
        }
        let stream = connect(&self.authority)
            .map_err(|error| eprintln!("http: {error}"))
            .ok()?;
        poll.add(&stream, self.base + self.connections.len() as u64)
            .ok()?;
        self.connections.push(Connection {
            stream,
            busy: None,
            received: Vec::new(),
        });
        Some(self.connections.len() - 1)
    }
}

/// A request on a connection of its own, waited for.
pub fn once(
    url: &Url,
    token: Option<&str>,
    method: &str,
    kind: &str,
    body: &str,
) -> Result<Response, String> {
    let mut poll = Poll::new().map_err(|error| error.to_string())?;
    let mut pool = Pool::new(&url.authority, token, 0);
    pool.request(&poll, 0, method, &url.path, kind, body);
    let mut tokens = Vec::new();
    for _ in 0..200 {
        poll.wait(100, &mut tokens);
        for token in tokens.clone() {
            if let Some(response) = pool.ready(&poll, token) {
                return Ok(response);
            }
        }
    }
    Err(format!("no answer from {} within 20 s", url.authority))
}

fn connect(authority: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn failed(tag: u64, reason: &str) -> Response {
    Response {
        tag,
        status: 0,
        location: None,
        body: reason.to_owned(),
    }
}

/// Take what the socket has. True when the other side closed.
fn read_some(connection: &mut Connection) -> std::io::Result<bool> {
    let mut buffer = [0u8; 16_384];
    loop {
        match connection.stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => connection.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn parse(connection: &Connection) -> Option<Response> {
    let end = connection
        .received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&connection.received[..end]).into_owned();
    let body = &connection.received[end + 4..];
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let body = if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        dechunk(body)?
    } else {
        let length = header("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        body.get(..length)?.to_vec()
    };
    Some(Response {
        tag: connection.busy?,
        status: head.split(' ').nth(1)?.parse().ok()?,
        location: header("location"),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..)?;
    }
}
