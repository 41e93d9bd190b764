//! Passive TCP candidates (RFC 6544) with the framing of RFC 4571: two bytes of length, then a
//! datagram. For players behind networks that block UDP.

use crate::io::sys::Poller;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Connections at most; each may hold buffers.
const MAX_CONNECTIONS: usize = 4_096;
/// Bytes waiting for a slow reader; what comes beyond is dropped and counted.
const MAX_WAITING: usize = 512 * 1024;
/// Largest frame taken: anything above is no datagram of ours.
const MAX_FRAME: usize = 2_048;
/// Tokens of connections start here.
const FIRST_TOKEN: u64 = 1_000;

/// One accepted connection.
#[derive(Debug)]
struct Connection {
    /// The socket, non-blocking.
    stream: TcpStream,
    /// Bytes read that are no whole frame yet.
    input: Vec<u8>,
    /// Bytes that the socket would not take.
    output: VecDeque<u8>,
}

/// Listener and connections of one worker.
#[derive(Debug)]
pub struct Tcp {
    /// The listening socket.
    listener: TcpListener,
    /// Open connections.
    connections: HashMap<u32, Connection>,
    /// Number of the next connection.
    next: u32,
}

impl Tcp {
    /// Take a bound listener.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Tcp {
            listener,
            connections: HashMap::new(),
            next: 0,
        })
    }

    /// The listening descriptor.
    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Accept what waits.
    pub fn accept(&mut self, poller: &Poller) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() >= MAX_CONNECTIONS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            // Frames are whole datagrams already: waiting for more only delays them.
            let _unsupported = stream.set_nodelay(true);
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            let token = FIRST_TOKEN + u64::from(number);
            if poller.add(stream.as_raw_fd(), token).is_ok() {
                let connection = Connection {
                    stream,
                    input: Vec::new(),
                    output: VecDeque::new(),
                };
                self.connections.insert(number, connection);
            }
        }
    }

    /// The connection behind a token.
    pub fn connection(token: u64) -> Option<u32> {
        token
            .checked_sub(FIRST_TOKEN)
            .and_then(|number| u32::try_from(number).ok())
    }

    /// Read a connection. Returns whole datagrams, and whether it has ended.
    pub fn read(&mut self, number: u32) -> (Vec<Vec<u8>>, bool) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return (Vec::new(), false);
        };
        let mut chunk = [0; 16 * 1024];
        let ended = match connection.stream.read(&mut chunk) {
            Ok(0) => true,
            Ok(count) => {
                connection
                    .input
                    .extend_from_slice(chunk.get(..count).unwrap_or(&[]));
                false
            }
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        };
        let (frames, broken) = take_frames(&mut connection.input);
        if ended || broken {
            self.connections.remove(&number);
        }
        (frames, ended || broken)
    }

    /// Send one datagram. False when it was dropped.
    pub fn send(&mut self, number: u32, datagram: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else {
            return false;
        };
        let Ok(length) = u16::try_from(datagram.len()) else {
            return false;
        };
        if connection.output.len() + datagram.len() > MAX_WAITING {
            connection.flush();
            if connection.output.len() + datagram.len() > MAX_WAITING {
                return false;
            }
        }
        connection.output.extend(length.to_be_bytes());
        connection.output.extend(datagram);
        connection.flush();
        true
    }

    /// Connections with something left to write; they are flushed again soon.
    pub fn flush(&mut self) -> bool {
        let mut waiting = false;
        for connection in self.connections.values_mut() {
            if !connection.output.is_empty() {
                connection.flush();
                waiting |= !connection.output.is_empty();
            }
        }
        waiting
    }
}

impl Connection {
    fn flush(&mut self) {
        while !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            match self.stream.write(front) {
                Ok(count) if count > 0 => drop(self.output.drain(..count)),
                // The end of a connection is seen by its read.
                _ => return,
            }
        }
    }
}

/// Cut whole frames off the front. The flag says that the peer does not speak RFC 4571.
fn take_frames(input: &mut Vec<u8>) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    let mut used = 0;
    while let Some(length) = input.get(used..).and_then(<[u8]>::first_chunk::<2>) {
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_FRAME {
            return (frames, true);
        }
        let Some(frame) = input.get(used + 2..used + 2 + length) else {
            break;
        };
        frames.push(frame.to_vec());
        used += 2 + length;
    }
    input.drain(..used);
    (frames, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_reads_end() {
        let mut input = vec![0, 2, b'a'];
        assert_eq!(take_frames(&mut input), (vec![], false));
        input.extend([b'b', 0, 1]);
        assert_eq!(take_frames(&mut input), (vec![b"ab".to_vec()], false));
        input.push(b'c');
        assert_eq!(take_frames(&mut input), (vec![b"c".to_vec()], false));
        assert!(input.is_empty());
    }

    #[test]
    fn an_absurd_length_ends_the_connection() {
        let mut input = b"GET / HTTP/1.1".to_vec();
        assert!(take_frames(&mut input).1);
    }
}
